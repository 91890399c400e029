"""Compressed chunks: smaller where it pays, and no frame takes more of the receiver's memory than a chunk."""

from __future__ import annotations

import os

import pytest
import torch
import zstandard
from fakes.artifacts import TINY

from transplant.artifact.chunks import CHUNK_BYTES
from transplant.artifact.codec import seal
from transplant.artifact.compression import Squeezer, pays
from transplant.artifact.encoding import Encoding
from transplant.errors import ChunkCorrupt
from transplant.nets.architectures import build
from transplant.types import ModuleKind, Task


def test_there_and_back():
    squeezer = Squeezer()
    for data in (b"\x00", os.urandom(100) * 50, bytes(CHUNK_BYTES)):
        squeezed = squeezer.squeeze(data)
        if squeezed is not None:
            assert len(squeezed) < len(data)
            assert Squeezer().restore(squeezed) == data
    assert squeezer.squeeze(os.urandom(1000)) is None


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [(Encoding.F32, False), (Encoding.F16, False), (Encoding.BF16, True), (Encoding.INT8, False)],
)
def test_it_pays_for_the_encoding_that_was_measured_so(encoding, expected):
    torch.manual_seed(0)
    manifest, _ = seal(
        build(TINY, ModuleKind.TASK, Task.CLASSIFICATION), site="s", category="dog", kind=ModuleKind.TASK,
        task=Task.CLASSIFICATION, architecture=TINY, parents=("a" * 64,), encoding=encoding,
    )  # fmt: skip
    assert pays(manifest) is expected


def _unsized(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(data)


def _claiming(size_bytes: int) -> bytes:
    """Return the header of a frame that claims a size, and an empty last block."""
    return b"\x28\xb5\x2f\xfd" + b"\xe0" + size_bytes.to_bytes(8, "little") + b"\x01\x00\x00"


FRAME = zstandard.ZstdCompressor().compress(b"weights " * 100)


@pytest.mark.parametrize(
    "squeezed",
    [
        b"",
        b"not a frame",
        FRAME[:-1],
        FRAME + b"more",
        FRAME + FRAME,
        FRAME[:-3] + b"???",
        _unsized(b"weights " * 100),
        zstandard.ZstdCompressor().compress(b""),
        zstandard.ZstdCompressor().compress(bytes(CHUNK_BYTES + 1)),
        _claiming(1 << 40),
        _claiming(1000),
    ],
    ids="empty garbage cut trailing twice damaged unsized nothing large bomb short".split(),  # noqa: SIM905
)
def test_a_frame_that_is_no_chunk_is_refused(squeezed):
    with pytest.raises(ChunkCorrupt):
        Squeezer().restore(squeezed)
