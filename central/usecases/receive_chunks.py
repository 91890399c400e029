"""The bytes of a module come in, chunk by chunk; each answer is a durable offset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.usecases.declare import missing_of, upload_of
from transplant.errors import ChunkOutOfOrder, TooLarge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from central.registry.values import DeclaredUpload
    from central.usecases.center import Center
    from transplant.artifact.chunks import Chunk
    from transplant.types import Identity


def receive_chunks(center: Center, caller: Identity, chunks: Iterable[tuple[str, Chunk]]) -> Iterator[int]:
    """Write chunks of one upload and yield the durable offset whenever it has grown.

    Whatever ends the stream (its end, a cut link, a bad chunk), the good bytes before are kept.

    Args:
        center: the center.
        caller: the site that sends.
        chunks: pairs of upload id and chunk, all of one upload, in rising order.

    Raises:
        NotFound: if the caller has no such upload.
        ChunkCorrupt, ChunkOutOfOrder: see `PartWriter.write`.
        TooLarge: if a chunk reaches beyond the declared size.
        StorageFull: if the disk is full.
    """
    stream = iter(chunks)
    first = next(stream, None)
    if first is None:
        return
    upload_id = first[0]
    stream = _again([first], stream)
    del first  # as with every chunk below: whoever waits for the next one keeps none
    with center.registry.read() as books:
        upload = upload_of(books, caller, upload_id)
    if not missing_of(center, upload):
        yield upload.payload_bytes
        return
    writer = center.parts.take_over(upload_id)
    acknowledged = writer.durable
    try:
        for chunk_upload_id, chunk in stream:
            _check_chunk(upload, chunk_upload_id, chunk)
            writer.write(chunk)
            durable = writer.sync() if chunk.end == upload.payload_bytes else writer.durable
            del chunk
            if durable > acknowledged:
                acknowledged = durable
                yield durable
        durable = writer.sync()
        if durable > acknowledged:
            yield durable
    finally:
        center.parts.release(upload_id, writer)


def _again(first: list[tuple[str, Chunk]], rest: Iterator[tuple[str, Chunk]]) -> Iterator[tuple[str, Chunk]]:
    yield first.pop()
    yield from rest


def _check_chunk(upload: DeclaredUpload, upload_id: str, chunk: Chunk) -> None:
    if upload_id != upload.upload_id:
        raise ChunkOutOfOrder("one stream carries the chunks of one upload")
    if chunk.end > upload.payload_bytes:
        raise TooLarge(f"a chunk ends at {chunk.end}; {upload.payload_bytes} bytes were declared")
