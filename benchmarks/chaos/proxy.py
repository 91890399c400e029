"""Bad links: one small TCP proxy a site, which can be cut, stalled, slowed, delayed and half-closed.

All links run in one thread. What travels is TLS, so a proxy can hurt a connection but not read or change it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future
    from types import TracebackType

HOST = "127.0.0.1"
_READ_BYTES = 64 << 10
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: the other side sees a reset, not an end
_STOP_S = 10.0


class Links:
    """The thread that all links live in.

    Args:
        target: returns host:port of the server at this moment, or "" where there is none; asked at each
            connection, so a server may come back on another port.
    """

    def __init__(self, target: Callable[[], str]) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._links: list[Link] = []

    def __enter__(self) -> Links:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        for link in self._links:
            self._do(link.close()).result(_STOP_S)
        self._do(_cancel_others()).result(_STOP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_S)
        self._loop.close()

    def open(self) -> Link:
        """Return a new link, listening on a free port."""
        link = Link(self._loop, self._target)
        self._do(link.listen()).result(_STOP_S)
        self._links.append(link)
        return link

    def _do(self, work: Coroutine[None, None, None]) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)


class Link:
    """One site's way to the server. Faults may be asked for from any thread; they pass by themselves."""

    def __init__(self, loop: asyncio.AbstractEventLoop, target: Callable[[], str]) -> None:
        self._loop = loop
        self._target = target
        self._server: asyncio.Server | None = None
        self._ends: dict[asyncio.StreamWriter, bool] = {}  # whether it leads to the server
        self._open = asyncio.Event()
        self._open.set()
        self._stalled_until_s = 0.0
        self._delay_s = 0.0
        self._rate: float | None = None
        self.port = 0
        self.bytes_up = 0
        self.connections = 0

    @property
    def address(self) -> str:
        """Return what a site calls instead of the server."""
        return f"{HOST}:{self.port}"

    # --- faults ------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Reset every connection; new ones are taken at once."""
        self._loop.call_soon_threadsafe(self._cut)

    def half_close(self, *, towards_server: bool) -> None:
        """End one direction of every connection, and leave the other one as it is."""
        self._loop.call_soon_threadsafe(self._half_close, towards_server)

    def stall(self, seconds: float) -> None:
        """Let nothing through for a while, in either direction; nothing is lost."""
        self._loop.call_soon_threadsafe(self._stall, seconds)

    def slow(self, seconds: float, *, delay_s: float = 0.0, rate: float | None = None) -> None:
        """Hold every read back by `delay_s`, or let `rate` bytes a second through, for a while."""
        self._loop.call_soon_threadsafe(self._slow, seconds, delay_s, rate)

    def heal(self) -> None:
        """End every fault that lasts."""
        self._loop.call_soon_threadsafe(self._slow, 0.0, 0.0, None)
        self._loop.call_soon_threadsafe(self._open.set)

    # --- in the thread of the loop -----------------------------------------------------------------

    async def listen(self) -> None:
        """Begin to take connections."""
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Reset what is open and take nothing more."""
        if self._server is not None:
            self._server.close()
        self._cut()
        self._open.set()

    def _cut(self) -> None:
        for end in list(self._ends):
            _reset(end)

    def _half_close(self, towards_server: bool) -> None:
        for end, upstream in list(self._ends.items()):
            if upstream == towards_server and end.can_write_eof() and not end.is_closing():
                with contextlib.suppress(OSError):
                    end.write_eof()

    def _stall(self, seconds: float) -> None:
        now_s = self._loop.time()
        self._stalled_until_s = max(self._stalled_until_s, now_s + seconds)
        self._open.clear()
        self._loop.call_at(self._stalled_until_s, self._unstall)

    def _unstall(self) -> None:
        if self._loop.time() >= self._stalled_until_s:
            self._open.set()

    def _slow(self, seconds: float, delay_s: float, rate: float | None) -> None:
        self._delay_s, self._rate = delay_s, rate
        if seconds:
            self._loop.call_later(seconds, self._slow, 0.0, 0.0, None)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends[writer] = False
        self.connections += 1
        host, _, port = self._target().rpartition(":")
        try:
            up_reader, up_writer = await asyncio.open_connection(host, int(port))
        except (OSError, ValueError):  # no server at this moment
            self._ends.pop(writer, None)
            _reset(writer)
            return
        self._ends[up_writer] = True
        try:
            await asyncio.gather(self._pump(reader, up_writer, up=True), self._pump(up_reader, writer))
        finally:
            for end in (writer, up_writer):
                self._ends.pop(end, None)
                end.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool = False
    ) -> None:
        try:
            while data := await reader.read(_READ_BYTES):
                await self._open.wait()
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                if self._rate:
                    await asyncio.sleep(len(data) / self._rate)
                if up:
                    self.bytes_up += len(data)
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof() and not writer.is_closing():
                writer.write_eof()
        except (OSError, RuntimeError):  # either end went away, or its direction was closed before
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
