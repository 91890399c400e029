"""Fetching a payload: into `<module_id>.part`, resumed from its size, renamed once its digest is right."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from transplant.artifact.chunks import verify_chunk
from transplant.artifact.compression import pays
from transplant.artifact.digest import sha256_file
from transplant.artifact.durable_file import storage_errors, sync_directory, write_durably
from transplant.errors import ChunkOutOfOrder, DigestMismatch, InvalidSettings, TransplantError
from transplant.rpc.convert_chunks import ChunksFromProto
from transplant.v1 import catalog_pb2, chunk_pb2

if TYPE_CHECKING:
    from pathlib import Path

    from transplant.artifact.manifest import Manifest
    from transplant.rpc.caller import Caller

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


def download_payload(
    caller: Caller, method: Any, manifest: Manifest, directory: Path, on_progress: Progress | None = None
) -> Path:
    """Fetch a module's payload and write its manifest beside it; return the payload's path.

    A payload that is there already is checked and not fetched again. One process at a time may fetch
    into a directory. Chunks come compressed where that pays and the center can.

    Raises:
        DigestMismatch: if the bytes have another digest even when fetched anew from the first one.
        StorageFull: if the disk is full; what has come so far stays, for the next try.
        TransplantError: what the center refused, or the last error at the deadline.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{manifest.module_id}.safetensors"
    part = directory / f"{manifest.module_id}.part"
    if not (path.is_file() and sha256_file(path) == manifest.payload_sha256):
        resumed = _size(part) > 0
        _fetch(caller, method, manifest, part, on_progress)
        if sha256_file(part) != manifest.payload_sha256 and resumed:
            # A power cut may leave bytes in the part that were never written: the fault can be ours.
            log.warning("%s is damaged; fetching it again from the start", part)
            part.unlink()
            _fetch(caller, method, manifest, part, on_progress)
        if sha256_file(part) != manifest.payload_sha256:
            part.unlink()
            raise DigestMismatch(
                f"the payload of module {manifest.module_id} has not the digest it must have"
            )
        part.replace(path)
        sync_directory(directory)
    write_durably(path.with_suffix(".json"), manifest.canonical_bytes())
    return path


def _fetch(caller: Caller, method: Any, manifest: Manifest, part: Path, on_progress: Progress | None) -> None:
    """Fill `part` to the payload's size, in as many streams as it takes."""
    size = manifest.payload_bytes
    if _size(part) > size:
        part.unlink()
    squeezed = pays(manifest)

    def attempt() -> bool:
        nonlocal squeezed
        before = _size(part)
        try:
            _append(caller, method, manifest, part, on_progress, squeezed=squeezed)
        except InvalidSettings:
            if not squeezed:
                raise
            squeezed = False  # a center of before compression refuses a request that speaks of it
            return False
        except TransplantError as error:
            if not error.retry or _size(part) <= before:
                raise
            return False  # progress was made: the deadline starts again
        return True

    while not caller.policy.run(attempt, caller.stopped):
        pass


def _append(
    caller: Caller,
    method: Any,
    manifest: Manifest,
    part: Path,
    on_progress: Progress | None,
    *,
    squeezed: bool,
) -> None:
    with storage_errors(part), part.open("ab") as file:
        position = file.tell()
        if position < manifest.payload_bytes:
            request = catalog_pb2.DownloadRequest(module_id=manifest.module_id, offset=position)
            if squeezed:
                request.accepted = chunk_pb2.COMPRESSION_ZSTD
            chunks = ChunksFromProto()
            with closing(caller.stream(method, request)) as responses:
                for response in responses:
                    chunk = chunks.read(response)
                    verify_chunk(chunk)
                    if chunk.offset != position or chunk.end > manifest.payload_bytes:
                        raise ChunkOutOfOrder(f"the center sent bytes from {chunk.offset} at {position}")
                    file.write(chunk.data)
                    position = chunk.end
                    if on_progress is not None:
                        on_progress(position, manifest.payload_bytes)
        elif on_progress is not None:
            on_progress(position, manifest.payload_bytes)
        file.flush()
        os.fsync(file.fileno())
    if position < manifest.payload_bytes:
        raise ChunkOutOfOrder(f"the center ended the download at byte {position} of {manifest.payload_bytes}")


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0
