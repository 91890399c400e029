"""Hostile chunks, sent to a center past the client that would never make them."""

from __future__ import annotations

import grpc
import pytest
from fakes.center import FakeCenter
from fakes.pki import Authority

from transplant.artifact.chunks import CHUNK_BYTES, chunk_of
from transplant.errors import ChunkCorrupt, ChunkOutOfOrder, NotFound, TooLarge
from transplant.rpc.channel import open_channel
from transplant.rpc.status import from_rpc_error
from transplant.v1.intake_pb2 import UploadRequest
from transplant.v1.intake_pb2_grpc import IntakeStub


@pytest.fixture(scope="module")
def upload():
    authority = Authority()
    center = FakeCenter(authority.cert, authority.server())
    center.state.uploads["u"] = bytearray()

    def send(offset: int, data: bytes, crc32c: int, upload_id: str = "u") -> None:
        with open_channel(authority.kit(center.address)) as channel:
            request = UploadRequest(upload_id=upload_id, offset=offset, data=data, crc32c=crc32c)
            try:
                list(IntakeStub(channel).Upload(iter([request]), timeout=10))
            except grpc.RpcError as error:
                raise from_rpc_error(error) from error

    yield send
    assert center.state.uploads["u"] == bytearray()  # nothing of any of it was kept
    center.stop()


@pytest.mark.parametrize(
    ("offset", "data", "crc32c", "error"),
    [
        (0, b"weights", 0, ChunkCorrupt),
        (0, b"weighty", chunk_of(0, b"weights").crc32c, ChunkCorrupt),
        (0, b"", chunk_of(0, b"").crc32c, ChunkCorrupt),
        (0, bytes(CHUNK_BYTES + 1), chunk_of(0, bytes(CHUNK_BYTES + 1)).crc32c, ChunkCorrupt),
        (0, bytes(5 << 20), 0, TooLarge),
        (7, b"weights", chunk_of(0, b"weights").crc32c, ChunkOutOfOrder),
        ((1 << 64) - 1, b"x", chunk_of(0, b"x").crc32c, ChunkOutOfOrder),
    ],
    ids=[
        "wrong_crc",
        "flipped_bit",
        "empty",
        "oversized",
        "over_the_message_limit",
        "out_of_order",
        "beyond_everything",
    ],
)
def test_ends_in_its_error(upload, offset, data, crc32c, error):
    with pytest.raises(error):
        upload(offset, data, crc32c)


def test_a_path_as_upload_id(upload):
    with pytest.raises(NotFound):
        upload(0, b"x", chunk_of(0, b"x").crc32c, "../../etc/passwd")
