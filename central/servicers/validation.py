"""`transplant.v1.Validation`: the owning site judges a candidate on its own data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.registry.values import SignedVerdict
from central.servicers.access import caller_of, certificate_of
from central.usecases.read_merges import fetch_candidates
from central.usecases.report_verdict import report_verdict
from transplant.rpc import convert
from transplant.v1 import validation_pb2, validation_pb2_grpc

if TYPE_CHECKING:
    import grpc

    from central.usecases.center import Center


class ValidationServicer(validation_pb2_grpc.ValidationServicer):
    """Parses, calls the use case, replies."""

    def __init__(self, center: Center) -> None:
        self._center = center

    def FetchCandidates(
        self, request: validation_pb2.FetchCandidatesRequest, context: grpc.ServicerContext
    ) -> validation_pb2.FetchCandidatesResponse:
        """Return the routes that await the caller's verdict."""
        convert.refuse_unknown_fields(request)
        candidates = fetch_candidates(self._center, caller_of(context))
        return validation_pb2.FetchCandidatesResponse(
            candidates=[convert.candidate_to_proto(key, route) for key, route in candidates]
        )

    def ReportVerdict(
        self, request: validation_pb2.ReportVerdictRequest, context: grpc.ServicerContext
    ) -> validation_pb2.ReportVerdictResponse:
        """Take a verdict."""
        verdict = convert.verdict_from_proto(request)
        signature = bytes(request.signature)
        signed = SignedVerdict(signature, certificate_of(context)) if signature else None
        state = report_verdict(self._center, caller_of(context), verdict, signed)
        return validation_pb2.ReportVerdictResponse(state=state.value)
