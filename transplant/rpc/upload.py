"""Sending a payload: an acknowledged stream, resumed at the center's durable offset after any break."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import grpc

from transplant.artifact.chunks import WINDOW_BYTES, read_chunks
from transplant.errors import PayloadMalformed, TransplantError, UploadIncomplete
from transplant.rpc.status import from_rpc_error
from transplant.types import ByteRange
from transplant.v1 import intake_pb2

if TYPE_CHECKING:
    from pathlib import Path

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
) -> None:
    """Send what the center does not have yet of the file at `path`.

    Every break asks for the durable offset again and opens a new stream there. As long as bytes become
    durable the transfer goes on; without progress it ends when the retry policy's deadline has passed.

    Raises:
        TransplantError: what the center refused for good, or the last error at the deadline.
    """
    size = path.stat().st_size
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
            for offset in _stream(caller, method, upload_id, path, ByteRange(durable, size)):
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


def _stream(caller: Caller, method: Any, upload_id: str, path: Path, missing: ByteRange) -> Iterator[int]:
    """Yield durable offsets while one stream lasts; ends when the last byte is durable."""
    caller.check_open()
    window = _Window(missing.start)
    call = method(_requests(window, upload_id, path, missing), timeout=caller.stream_s)
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
        raise PayloadMalformed(f"cannot read {path}: {window.fault}") from window.fault
    raise UploadIncomplete(f"the center ended the upload {upload_id} at byte {durable} of {missing.end}")


def _requests(
    window: _Window, upload_id: str, path: Path, missing: ByteRange
) -> Iterator[intake_pb2.UploadRequest]:
    """Yield chunks as fast as the window allows; runs in a thread of gRPC's."""
    try:
        for chunk in read_chunks(path, [missing]):
            if not window.wait_for(chunk.end):
                return
            yield intake_pb2.UploadRequest(
                upload_id=upload_id, offset=chunk.offset, data=chunk.data, crc32c=chunk.crc32c
            )
    except (OSError, EOFError) as error:
        window.fault = error  # raised where somebody can catch it: gRPC's thread would only log it


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
