"""Chunks in the messages of uploads and downloads, as they are or compressed."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from transplant.artifact.chunks import Chunk
from transplant.artifact.compression import Squeezer
from transplant.v1 import catalog_pb2, chunk_pb2, intake_pb2

if TYPE_CHECKING:
    from typing import TypeAlias

    Message: TypeAlias = intake_pb2.UploadRequest | catalog_pb2.DownloadResponse

M = TypeVar("M", intake_pb2.UploadRequest, catalog_pb2.DownloadResponse)


class ChunksToProto:
    """Writes chunks into messages; for one thread at a time.

    Args:
        squeezed: whether they are compressed where that makes them smaller.
    """

    def __init__(self, *, squeezed: bool) -> None:
        self._squeezer = Squeezer() if squeezed else None

    def write(self, chunk: Chunk, message: M) -> M:
        """Return the message with a chunk in it."""
        message.offset, message.crc32c = chunk.offset, chunk.crc32c
        smaller = None if self._squeezer is None else self._squeezer.squeeze(chunk.data)
        if smaller is None:
            message.data = chunk.data
        else:
            message.data, message.compression = smaller, chunk_pb2.COMPRESSION_ZSTD
        return message


class ChunksFromProto:
    """Reads chunks from messages; for one thread at a time."""

    def __init__(self) -> None:
        self._squeezer: Squeezer | None = None

    def read(self, message: Message) -> Chunk:
        """Return a message's chunk. Its checksum is not looked at.

        Raises:
            ChunkCorrupt: if it is compressed and cannot be restored, or would be larger than a chunk may be.
        """
        data = message.data
        if message.compression == chunk_pb2.COMPRESSION_ZSTD:
            self._squeezer = self._squeezer or Squeezer()
            data = self._squeezer.restore(data)
        return Chunk(message.offset, data, message.crc32c)
