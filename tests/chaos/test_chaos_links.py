"""The links of the chaos bench: what each fault does to a connection, seen from both of its ends."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from benchmarks.chaos.proxy import HOST, Link, Links

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE_S = 10.0


class Echo:
    """A server that sends everything back, and ends a connection when its caller does."""

    def __init__(self) -> None:
        self._listening = socket.create_server((HOST, 0))
        self.address = f"{HOST}:{self._listening.getsockname()[1]}"
        self.ended = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1 << 16):
                    connection.sendall(data)
            except OSError:
                pass
            self.ended.set()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def link(echo: Echo) -> Iterator[Link]:
    with Links(lambda: echo.address) as links:
        yield links.open()


def connect(link: Link) -> socket.socket:
    connection = socket.create_connection((HOST, link.port), timeout=_PATIENCE_S)
    assert heard(connection, b"hello") == b"hello"
    return connection


def heard(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    back = b""
    while len(back) < len(data):
        piece = connection.recv(1 << 16)
        if not piece:
            break
        back += piece
    return back


def hear_for_ever(connection: socket.socket) -> None:
    with connection:
        while heard(connection, b"still there?"):
            pass
    raise AssertionError("the connection ended instead of being reset")


def test_a_healthy_link_changes_nothing(link: Link):
    data = bytes(range(256)) * 4096
    with connect(link) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        back = b""
        while len(back) < len(data):
            back += connection.recv(1 << 16)
        sender.join()
    assert back == data
    assert link.bytes_up == len(data) + 5


def test_a_cut_resets_connections_and_takes_new_ones(link: Link):
    with connect(link) as connection:
        link.cut()
        with pytest.raises(ConnectionResetError):
            hear_for_ever(connection)
    with connect(link):
        assert link.connections == 2


def test_a_stall_holds_everything_back_and_loses_nothing(link: Link):
    with connect(link) as connection:
        link.stall(0.3)
        began_s = time.monotonic()
        assert heard(connection, b"late") == b"late"
        assert time.monotonic() - began_s > 0.2


def test_a_slow_link_lets_its_rate_through(link: Link):
    with connect(link) as connection:
        link.slow(60.0, rate=40_000.0)
        began_s = time.monotonic()
        assert heard(connection, b"x" * 8000) == b"x" * 8000
        assert time.monotonic() - began_s > 0.3  # 0.2 s in either direction
        link.heal()


def test_half_closing_ends_one_direction(link: Link, echo: Echo):
    with connect(link) as connection:
        link.half_close(towards_server=True)
        assert echo.ended.wait(_PATIENCE_S), "the server was not told that its caller has ended"
        assert connection.recv(1) == b"", "what the server still says goes on to the caller"


def test_where_nothing_listens_a_connection_is_reset(echo: Echo):
    del echo
    with Links(lambda: "") as links:
        link = links.open()
        with pytest.raises(ConnectionResetError):
            hear_for_ever(socket.create_connection((HOST, link.port), timeout=_PATIENCE_S))
