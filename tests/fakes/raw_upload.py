"""Chunks as no client would send them, over a real channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from transplant.rpc.status import from_rpc_error
from transplant.v1 import intake_pb2

if TYPE_CHECKING:
    from transplant.artifact.chunks import Chunk
    from transplant.v1.intake_pb2_grpc import IntakeStub


def send(stub: IntakeStub, upload_id: str, *chunks: Chunk) -> list[int]:
    """Send chunks in one stream; return the durable offsets that were answered, or raise what was."""
    requests = [
        intake_pb2.UploadRequest(upload_id=upload_id, offset=c.offset, data=c.data, crc32c=c.crc32c)
        for c in chunks
    ]
    try:
        return [response.durable_offset for response in stub.Upload(iter(requests), timeout=5)]
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error
