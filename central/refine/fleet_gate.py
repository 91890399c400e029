"""The door that sites come through to the SuperLink: TLS, and the Fleet API alone.

A SuperLink serves three APIs on one port. The Fleet API asks every caller for the signature of a registered
key; the Control API, which registers keys and starts runs, asks for nothing. So the SuperLink listens on
loopback, and this gate in front of it hands on what goes to the Fleet API and refuses all else. It takes
one request a connection, of a stated length, so that what it looked at is what the SuperLink reads.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from central.settings import host_and_port
from transplant.errors import CertificateInvalid, InvalidSettings

if TYPE_CHECKING:
    from central.identity.files import IdentityFolder

log = logging.getLogger(__name__)

_HEAD_BYTES = 32 << 10
_BODY_BYTES = 256 << 20
_BLOCK_BYTES = 256 << 10
_PREFIX = b"/v1/fleet/"
_IDLE_S = 60.0
_OPEN = 256
_CLOSING_S = 5.0
_LAST_TURNS = 5

_REFUSAL = b"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class _Refused(Exception):
    """A request that goes no further, with the status that says why."""


class FleetGate:
    """Serves in a thread of its own while it is entered.

    Args:
        listen: HOST:PORT as sites reach it; port 0: any free one.
        port: of the SuperLink on 127.0.0.1.
        identity: the center's certificates; those of the server hold 127.0.0.1, too.

    Raises:
        InvalidSettings: if `listen` is no address.
        CertificateInvalid: if the server's certificate cannot be used.
    """

    def __init__(self, listen: str, port: int, identity: IdentityFolder) -> None:
        try:
            self._listen = host_and_port(listen)
        except InvalidSettings as error:
            raise InvalidSettings(f"--listen {listen[:80]}: {error}") from error
        self._port = port
        try:
            self._server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._server.minimum_version = ssl.TLSVersion.TLSv1_2
            self._server.load_cert_chain(identity.server, identity.server_key)
            self._client = ssl.create_default_context(cafile=str(identity.ca))
        except OSError as error:
            raise CertificateInvalid(
                f"the server's certificate in {identity.root} cannot be used: {error}; "
                "`transplant-central provision ca` makes one"
            ) from error
        self._open = 0
        self._ready: Future[tuple[str, asyncio.AbstractEventLoop]] = Future()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="fleet-gate", daemon=True)

    def __enter__(self) -> FleetGate:
        """Listen.

        Raises:
            InvalidSettings: if the address cannot be had.
        """
        self._thread.start()
        self.address, self._loop = self._ready.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)  # whoever enters waits for it

    async def _serve(self) -> None:
        try:
            server = await asyncio.start_server(self._meet, *self._listen, ssl=self._server)
        except (OSError, UnicodeError) as error:  # a name with an empty label cannot even be looked up
            why = error.strerror if isinstance(error, OSError) else error
            told = InvalidSettings(f"cannot listen on {self._listen[0]}:{self._listen[1]}: {why}")
            self._ready.set_exception(told)
            return
        host, port = server.sockets[0].getsockname()[:2]
        self._ready.set_result((f"{host}:{port}", asyncio.get_running_loop()))
        async with server:
            await self._stop.wait()
        pending = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for _ in range(_LAST_TURNS):
            await asyncio.sleep(0)  # what was aborted is closed in the loop's next turns

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand one request on, and its answer back."""
        self._open += 1
        try:
            await self._hand_on(reader, writer)
        except _Refused as refused:
            writer.write(_REFUSAL % str(refused).encode())
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            log.info("a connection to the federated rounds ended: %s", error)
        finally:
            self._open -= 1
            await _closed(writer)

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open > _OPEN:
            raise _Refused("503 Service Unavailable")
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _IDLE_S)
        except asyncio.LimitOverrunError as error:
            raise _Refused("431 Request Header Fields Too Large") from error
        lines, length = _checked(head)
        link_reader, link_writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._client)
        try:
            link_writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
            while length:
                block = await asyncio.wait_for(reader.read(min(length, _BLOCK_BYTES)), _IDLE_S)
                if not block:
                    return
                length -= len(block)
                link_writer.write(block)
                await asyncio.wait_for(link_writer.drain(), _IDLE_S)
            while block := await asyncio.wait_for(link_reader.read(_BLOCK_BYTES), _IDLE_S):
                writer.write(block)
                await asyncio.wait_for(writer.drain(), _IDLE_S)
        finally:
            await _closed(link_writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection in order, or at once where the other side does not or we have to leave."""
    writer.close()
    try:
        await asyncio.wait_for(writer.wait_closed(), _CLOSING_S)
    except (OSError, TimeoutError):
        writer.transport.abort()
    except asyncio.CancelledError:
        writer.transport.abort()
        raise


def _checked(head: bytes) -> tuple[list[bytes], int]:
    """Return the lines that are handed on, and the length of the body, of a request to the Fleet API."""
    first, *fields = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    words = first.split(b" ")
    if len(head) > _HEAD_BYTES or len(words) != 3 or words[2] != b"HTTP/1.1":
        raise _Refused("400 Bad Request")
    path = words[1]
    plain = path.startswith(_PREFIX) and path.removeprefix(_PREFIX).replace(b"-", b"").isalpha()
    if words[0] != b"POST" or not plain:
        raise _Refused("404 Not Found")
    lengths: list[bytes] = []
    kept = [first]
    for field in fields:
        name, colon, value = field.partition(b":")
        name = name.lower()
        if not colon or not name or name != name.strip() or b"\n" in field or b"\r" in field:
            raise _Refused("400 Bad Request")
        if name in (b"transfer-encoding", b"upgrade", b"expect", b"trailer"):
            raise _Refused("411 Length Required")
        if name == b"content-length":
            lengths.append(value.strip())
        if name != b"connection":
            kept.append(field)
    if len(lengths) != 1 or not lengths[0].isdigit() or int(lengths[0]) > _BODY_BYTES:
        raise _Refused("413 Content Too Large" if lengths else "411 Length Required")
    return [*kept, b"Connection: close"], int(lengths[0])
