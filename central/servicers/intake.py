"""`transplant.v1.Intake`: how a module comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.servicers.access import caller_of
from central.usecases.commit_upload import commit_upload
from central.usecases.declare import declare, upload_status
from central.usecases.receive_chunks import receive_chunks
from transplant.rpc import convert
from transplant.rpc.convert_chunks import ChunksFromProto
from transplant.v1 import intake_pb2, intake_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from central.usecases.center import Center
    from transplant.artifact.chunks import Chunk


class IntakeServicer(intake_pb2_grpc.IntakeServicer):
    """Parses, calls the use case, replies."""

    def __init__(self, center: Center) -> None:
        self._center = center

    def Declare(
        self, request: intake_pb2.DeclareRequest, context: grpc.ServicerContext
    ) -> intake_pb2.DeclareResponse:
        """Announce a module."""
        convert.refuse_unknown_fields(request)
        manifest = convert.manifest_from_proto(request.manifest)
        return convert.declared_to_proto(declare(self._center, caller_of(context), manifest))

    def Upload(
        self, request_iterator: Iterator[intake_pb2.UploadRequest], context: grpc.ServicerContext
    ) -> Iterator[intake_pb2.UploadResponse]:
        """Receive chunks, answer with durable offsets."""
        for durable_offset in receive_chunks(self._center, caller_of(context), _chunks(request_iterator)):
            yield intake_pb2.UploadResponse(durable_offset=durable_offset)

    def Commit(
        self, request: intake_pb2.CommitRequest, context: grpc.ServicerContext
    ) -> intake_pb2.CommitResponse:
        """Verify and register."""
        convert.refuse_unknown_fields(request)
        module_id = commit_upload(self._center, caller_of(context), request.upload_id, request.sha256)
        return intake_pb2.CommitResponse(module_id=module_id)

    def UploadStatus(
        self, request: intake_pb2.UploadStatusRequest, context: grpc.ServicerContext
    ) -> intake_pb2.UploadStatusResponse:
        """Tell how far an upload has come."""
        convert.refuse_unknown_fields(request)
        state = upload_status(self._center, caller_of(context), request.upload_id)
        return convert.upload_state_to_proto(state)


def _chunks(requests: Iterator[intake_pb2.UploadRequest]) -> Iterator[tuple[str, Chunk]]:
    """Unpack; while the next message is awaited nothing of the last one is kept, for a crowd waits here."""
    chunks = ChunksFromProto()
    for request in requests:
        received = request.upload_id, chunks.read(request)
        del request
        yield received
        del received
