"""The ceiling: a plain gRPC stream of the same bytes with the same TLS, and nothing else.

One stream-unary call without protobuf: the client hashes while it reads, the server hashes while it writes,
syncs the file once at the end and answers with its digest. No manifest, no admission, no checksum a chunk,
no acknowledgement, no resuming.

Started as `python -m benchmarks.speed.transport.plain_grpcio FOLDER CA CERT KEY`; prints its address.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from transplant.artifact.chunks import CHUNK_BYTES
from transplant.errors import BenchmarkFailed
from transplant.rpc.channel import SERVER_OPTIONS, open_channel, server_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from transplant.rpc.channel import Kit

_METHOD, _SERVICE = "Send", "plain.Bytes"
_THREADS = 64


class PlainServer:
    """The server as a process of its own."""

    def __init__(self, folder: Path, tls: tuple[Path, Path, Path]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "benchmarks.speed.transport.plain_grpcio",
            str(folder),
            *map(str, tls),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.address = "" if self._process.stdout is None else self._process.stdout.readline().strip()
        if not self.address:
            raise BenchmarkFailed("the plain gRPC server did not start")

    def __enter__(self) -> PlainServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate()

    @property
    def pid(self) -> int:
        """Return the server's process id."""
        return self._process.pid


class PlainClient:
    """A connected client."""

    def __init__(self, kit: Kit, address: str) -> None:
        self._channel = open_channel(kit, address)
        self._send: Any = self._channel.stream_unary(f"/{_SERVICE}/{_METHOD}")
        grpc.channel_ready_future(self._channel).result(30)

    def send(self, path: Path) -> float:
        """Send a file and return the seconds until the server had it whole and synced.

        Raises:
            BenchmarkFailed: if the server has other bytes.
        """
        digest = hashlib.sha256()

        def pieces() -> Iterator[bytes]:
            with path.open("rb") as file:
                while data := file.read(CHUNK_BYTES):
                    digest.update(data)
                    yield data

        began_s = time.perf_counter()
        answered = self._send(pieces()).decode()
        seconds = time.perf_counter() - began_s
        if answered != digest.hexdigest():
            raise BenchmarkFailed("the plain gRPC server received other bytes")
        return seconds

    def __enter__(self) -> PlainClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()


def _serve(folder: Path, tls: tuple[bytes, bytes, bytes]) -> None:
    numbers = itertools.count()

    def receive(pieces: Iterator[bytes], _: grpc.ServicerContext) -> bytes:
        path, digest, offset = folder / f"{next(numbers)}.bytes", hashlib.sha256(), 0
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            for data in pieces:
                digest.update(data)
                offset += os.pwrite(descriptor, data, offset)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
            path.unlink()
        return digest.hexdigest().encode()

    server = grpc.server(ThreadPoolExecutor(_THREADS), options=SERVER_OPTIONS)
    handler = grpc.stream_unary_rpc_method_handler(receive)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: handler})])
    port = server.add_secure_port("127.0.0.1:0", server_credentials(*tls))
    server.start()
    sys.stdout.write(f"127.0.0.1:{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


if __name__ == "__main__":
    ca, cert, key = (Path(name).read_bytes() for name in sys.argv[2:5])
    _serve(Path(sys.argv[1]), (ca, cert, key))
