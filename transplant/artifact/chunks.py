"""Chunks: the unit in which payloads travel, each with its own checksum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import google_crc32c

from transplant.errors import ChunkCorrupt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from transplant.types import ByteRange

CHUNK_BYTES = 1 << 20
"""The most that a chunk may have; 4 MiB and 256 KiB are both slower on loopback with mTLS."""

SENT_BYTES = CHUNK_BYTES // 2
"""What our senders put into a chunk: about as fast as whole ones, and less memory where a crowd comes in."""

WINDOW_BYTES = 64 * CHUNK_BYTES
"""How far a sender runs ahead of the receiver's durable offset; a receiver acknowledges more often."""

STREAM_AHEAD_BYTES = 512 << 10
"""How much of a payload may be under way to a server in each stream.

Left to itself gRPC guesses, and guesses most when the server is slow: a crowd of senders would fill its
memory. The price: over a round trip of 50 ms one stream brings some 10 MiB/s and not 30 to 70, unless the
operator says more. A client that downloads lets gRPC guess: it has few streams.
"""


@dataclass(frozen=True)
class Chunk:
    """Bytes [offset, offset + len(data)) of a payload."""

    offset: int
    data: bytes
    crc32c: int

    @property
    def end(self) -> int:
        """Offset of the first byte after this chunk."""
        return self.offset + len(self.data)


def chunk_of(offset: int, data: bytes) -> Chunk:
    """Return the chunk of `data` at `offset` with its crc32c (Castagnoli)."""
    return Chunk(offset, data, google_crc32c.value(data))


def verify_chunk(chunk: Chunk) -> None:
    """Check a received chunk.

    Raises:
        ChunkCorrupt: if it is empty, longer than `CHUNK_BYTES`, or its crc32c does not fit.
    """
    if not 0 < len(chunk.data) <= CHUNK_BYTES:
        raise ChunkCorrupt(
            f"the chunk at {chunk.offset} has {len(chunk.data)} bytes; a chunk has 1 to {CHUNK_BYTES}"
        )
    if google_crc32c.value(chunk.data) != chunk.crc32c:
        raise ChunkCorrupt(f"the crc32c of the chunk at {chunk.offset} does not fit its bytes; send it again")


def read_chunks(path: Path, ranges: Iterable[ByteRange]) -> Iterator[Chunk]:
    """Yield the chunks of `ranges` of a file, in their order, one chunk in memory at a time.

    Raises:
        EOFError: if the file ends before a range does.
    """
    with path.open("rb") as file:
        for piece in ranges:
            file.seek(piece.start)
            offset = piece.start
            while offset < piece.end:
                data = file.read(min(SENT_BYTES, piece.end - offset))
                if not data:
                    raise EOFError(f"{path} ends at {offset}, before {piece.end}")
                yield chunk_of(offset, data)
                offset += len(data)
