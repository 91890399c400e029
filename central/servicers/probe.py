"""`transplant.v1.Probe`: what the center asks instead of a task module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.servicers.access import caller_of
from central.usecases.ask_probes import list_probe_requests
from transplant.rpc import convert
from transplant.v1 import probe_pb2, probe_pb2_grpc

if TYPE_CHECKING:
    import grpc

    from central.usecases.center import Center


class ProbeServicer(probe_pb2_grpc.ProbeServicer):
    """Parses, calls the use case, replies."""

    def __init__(self, center: Center) -> None:
        self._center = center

    def ListProbeRequests(
        self, request: probe_pb2.ListProbeRequestsRequest, context: grpc.ServicerContext
    ) -> probe_pb2.ListProbeRequestsResponse:
        """Return what the caller is asked."""
        convert.refuse_unknown_fields(request)
        asked = list_probe_requests(self._center, caller_of(context), request.category)
        return probe_pb2.ListProbeRequestsResponse(requests=map(convert.asked_probe_to_proto, asked))
