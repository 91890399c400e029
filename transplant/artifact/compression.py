"""Chunks on the wire in fewer bytes, where that pays: weights in bf16.

Measured on trained weights (benchmarks/NOTES.md): zstd takes a fifth off bf16, where exponents repeat, and is
faster than our wire; off f32, f16 and int8 it takes about a tenth or less. Only the wire is concerned:
offsets, checksums, digests and files are of the payload's own bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import zstandard

from transplant.artifact.chunks import CHUNK_BYTES
from transplant.errors import ChunkCorrupt

if TYPE_CHECKING:
    from transplant.artifact.manifest import Manifest

_LEVEL = 1


def pays(manifest: Manifest) -> bool:
    """Tell whether most bytes of a payload are of the kind that zstd makes clearly fewer."""
    paying = sum(tensor.size_bytes for tensor in manifest.tensors if tensor.dtype == "bf16")
    return 2 * paying > manifest.payload_bytes


class Squeezer:
    """Makes chunks smaller and whole again; for one thread at a time."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=CHUNK_BYTES)

    def squeeze(self, data: bytes) -> bytes | None:
        """Return fewer bytes that say the same, or None where there are none."""
        squeezed = self._compressor.compress(data)
        return squeezed if len(squeezed) < len(data) else None

    def restore(self, squeezed: bytes) -> bytes:
        """Return what was squeezed; the size that a frame claims is checked before memory is taken for it.

        Raises:
            ChunkCorrupt: if it is not one zstd frame of 1 to `CHUNK_BYTES` bytes.
        """
        try:
            size = zstandard.frame_content_size(squeezed)
            if not 0 < size <= CHUNK_BYTES:  # -1: it does not say
                raise ChunkCorrupt(f"a zstd frame claims {size} bytes; a chunk has 1 to {CHUNK_BYTES}")
            data = self._decompressor.decompress(
                squeezed, max_output_size=CHUNK_BYTES, allow_extra_data=False
            )
        except zstandard.ZstdError as error:
            raise ChunkCorrupt(f"a chunk is not a zstd frame: {error}") from error
        if len(data) != size:
            raise ChunkCorrupt(f"a zstd frame claims {size} bytes and has {len(data)}")
        return data
