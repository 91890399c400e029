"""Sending a payload: an acknowledged stream, resumed at the center's durable offset after any break."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from transplant.artifact.chunks import CHUNK_BYTES, WINDOW_BYTES, read_chunks
from transplant.errors import DigestMismatch, PayloadMalformed, TransplantError, UploadIncomplete
from transplant.rpc.convert_chunks import ChunksToProto
from transplant.rpc.status import from_rpc_error
from transplant.types import ByteRange
from transplant.v1 import intake_pb2

if TYPE_CHECKING:
    from pathlib import Path

    from transplant.artifact.chunks import Chunk
    from transplant.rpc.caller import Caller
    from transplant.rpc.messages import UploadState

Progress = Callable[[int, int], None]


def upload_file(
    caller: Caller,
    method: Any,
    status: Callable[[], UploadState],
    upload_id: str,
    path: Path,
    on_progress: Progress | None = None,
    sha256: str | None = None,
    squeezed: bool = False,
) -> None:
    """Send what the center does not have yet of the file at `path`.

    Every break asks for the durable offset again and opens a new stream there. As long as bytes become
    durable the transfer goes on; without progress it ends when the retry policy's deadline has passed.

    Args:
        caller: how calls are made.
        method: the stub's Upload.
        status: asks how far the upload is.
        upload_id: which one.
        path: the file.
        on_progress: told (bytes durable at the center, bytes in all).
        sha256: what the file must be; hashed on the way, so that a file that was damaged here is not
            blamed on the link.
        squeezed: whether chunks are compressed on the wire; see `transplant.artifact.compression`.

    Raises:
        DigestMismatch: if the file is another one than `sha256` says; all of it was sent then.
        TransplantError: what the center refused for good, or the last error at the deadline.
    """
    size = path.stat().st_size
    seal = None if sha256 is None else _Seal(path, sha256)
    source = _Source(upload_id, path, seal, squeezed)
    durable: int | None = None  # nothing heard yet

    def attempt() -> bool:
        """Send once; True when all is durable, False when there is progress and more to do."""
        nonlocal durable
        state = status()
        found = size if state.registered else state.durable_offset
        before = found if durable is None else durable
        durable = found
        if on_progress is not None:
            on_progress(durable, size)
        if durable >= size:
            return True
        try:
            for offset in _stream(caller, method, source, ByteRange(durable, size)):
                durable = offset
                if on_progress is not None:
                    on_progress(durable, size)
        except TransplantError as error:
            if not error.retry or durable <= before:
                raise
            return False  # progress was made: the deadline starts again
        return durable >= size

    while not caller.policy.run(attempt, caller.stopped):
        pass
    if seal is not None:
        seal.check()


@dataclass(frozen=True)
class _Source:
    """What is sent, whichever stream sends it."""

    upload_id: str
    path: Path
    seal: _Seal | None
    squeezed: bool


def _stream(caller: Caller, method: Any, source: _Source, missing: ByteRange) -> Iterator[int]:
    """Yield durable offsets while one stream lasts; ends when the last byte is durable."""
    caller.check_open()
    window = _Window(missing.start)
    call = method(_requests(window, source, missing), timeout=caller.stream_s)
    durable = missing.start
    try:
        for response in call:
            durable = response.durable_offset
            window.acknowledge(durable)
            yield durable
            if durable >= missing.end:
                return
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error
    finally:
        window.close()
        call.cancel()
    if window.fault is not None:
        raise PayloadMalformed(f"cannot read {source.path}: {window.fault}") from window.fault
    raise UploadIncomplete(
        f"the center ended the upload {source.upload_id} at byte {durable} of {missing.end}"
    )


def _requests(window: _Window, source: _Source, missing: ByteRange) -> Iterator[intake_pb2.UploadRequest]:
    """Yield chunks as fast as the window allows; runs in a thread of gRPC's."""
    chunks = ChunksToProto(squeezed=source.squeezed)
    try:
        for chunk in read_chunks(source.path, [missing]):
            if not window.wait_for(chunk.end):
                return
            if source.seal is not None:
                source.seal.see(chunk)
            yield chunks.write(chunk, intake_pb2.UploadRequest(upload_id=source.upload_id))
    except (OSError, EOFError) as error:
        window.fault = error  # raised where somebody can catch it: gRPC's thread would only log it


class _Seal:
    """The digest of a file that is read chunk by chunk, once if nothing breaks."""

    def __init__(self, path: Path, sha256: str) -> None:
        self._path = path
        self._sha256 = sha256
        self._digest = hashlib.sha256()
        self._seen = 0
        self._lock = threading.Lock()  # the thread of a broken stream may still be at its last chunk

    def see(self, chunk: Chunk) -> None:
        """Hash a chunk that follows on what was hashed; one that is sent again was hashed before."""
        with self._lock:
            if chunk.offset == self._seen:
                self._digest.update(chunk.data)
                self._seen = chunk.end

    def check(self) -> None:
        """Compare, reading what was not sent by this process, or was sent in other pieces.

        Raises:
            DigestMismatch: if the file is another one.
        """
        with self._lock, self._path.open("rb") as file:
            file.seek(self._seen)
            while data := file.read(CHUNK_BYTES):
                self._digest.update(data)
        if self._digest.hexdigest() != self._sha256:
            raise DigestMismatch(f"{self._path} is not the payload that was sealed; seal it again")


class _Window:
    """Flow control: how far the sender may run ahead of what the center has made durable."""

    def __init__(self, durable: int) -> None:
        self._durable = durable
        self._closed = False
        self.fault: OSError | EOFError | None = None
        self._changed = threading.Condition()

    def wait_for(self, end: int) -> bool:
        """Block until bytes up to `end` may be sent; False when the stream is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or end - self._durable <= WINDOW_BYTES)
            return not self._closed

    def acknowledge(self, durable: int) -> None:
        """Move the window."""
        with self._changed:
            self._durable = durable
            self._changed.notify_all()

    def close(self) -> None:
        """Release the sender."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
