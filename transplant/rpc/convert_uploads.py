"""Uploads to protobuf and back: what is missing, how far it has come, what was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transplant.rpc.convert_values import enum_from_proto, metrics_from_proto, metrics_to_proto
from transplant.rpc.messages import Declared, UploadPhase, UploadState
from transplant.types import ByteRange
from transplant.v1 import intake_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PHASES: Mapping[UploadPhase, intake_pb2.UploadPhase] = {
    UploadPhase.RECEIVING: intake_pb2.UPLOAD_PHASE_RECEIVING,
    UploadPhase.RECEIVED: intake_pb2.UPLOAD_PHASE_RECEIVED,
    UploadPhase.REGISTERED: intake_pb2.UPLOAD_PHASE_REGISTERED,
    UploadPhase.REJECTED: intake_pb2.UPLOAD_PHASE_REJECTED,
}


def ranges_to_proto(ranges: Iterable[ByteRange]) -> list[intake_pb2.ByteRange]:
    """Return byte ranges as messages."""
    return [intake_pb2.ByteRange(start=piece.start, end=piece.end) for piece in ranges]


def ranges_from_proto(ranges: Iterable[intake_pb2.ByteRange]) -> tuple[ByteRange, ...]:
    """Return byte ranges as values."""
    return tuple(ByteRange(piece.start, piece.end) for piece in ranges)


def declared_to_proto(declared: Declared) -> intake_pb2.DeclareResponse:
    """Return the answer to Declare."""
    return intake_pb2.DeclareResponse(
        upload_id=declared.upload_id,
        module_id=declared.module_id,
        missing=ranges_to_proto(declared.missing),
        registered=declared.registered,
    )


def declared_from_proto(response: intake_pb2.DeclareResponse) -> Declared:
    """Read the answer to Declare."""
    return Declared(
        response.upload_id, response.module_id, ranges_from_proto(response.missing), response.registered
    )


def upload_state_to_proto(state: UploadState) -> intake_pb2.UploadStatusResponse:
    """Return the answer to UploadStatus."""
    return intake_pb2.UploadStatusResponse(
        durable_offset=state.durable_offset,
        missing=ranges_to_proto(state.missing),
        registered=state.registered,
        module_id=state.module_id,
        phase=PHASES[state.phase],
        error=state.error,
        reason=state.reason,
        figures=metrics_to_proto(state.figures),
    )


def upload_state_from_proto(response: intake_pb2.UploadStatusResponse) -> UploadState:
    """Read the answer to UploadStatus; a center of before there were phases registers or receives."""
    if response.phase == intake_pb2.UPLOAD_PHASE_UNSPECIFIED:
        phase = UploadPhase.REGISTERED if response.registered else UploadPhase.RECEIVING
    else:
        phase = enum_from_proto(PHASES, response.phase, "phase")
    return UploadState(
        durable_offset=response.durable_offset,
        missing=ranges_from_proto(response.missing),
        phase=phase,
        module_id=response.module_id,
        error=response.error,
        reason=response.reason,
        figures=metrics_from_proto(response.figures),
    )
