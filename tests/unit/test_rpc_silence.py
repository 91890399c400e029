"""A link that dies without a word is noticed; one that is silent for long stays up."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

import pytest
from fakes.center import FakeCenter
from fakes.pki import Authority

from transplant.errors import CenterUnreachable
from transplant.rpc import channel
from transplant.rpc.client import CentralClient
from transplant.rpc.retry import RetryPolicy


class Relay:
    """Passes bytes between a client and a center until it is told to drop them: no reset, no end, nothing."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self._target = (host, int(port))
        self._dropping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self) -> None:
        self._dropping.set()

    def close(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if not self._dropping.is_set():
                    target.sendall(data)


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
def center(authority):
    center = FakeCenter(authority.cert, authority.server())
    yield center
    center.stop()


@pytest.fixture
def relay(center):
    relay = Relay(center.address)
    yield relay
    relay.close()


def test_a_peer_that_vanished_is_noticed_by_pings(authority, relay, monkeypatch):
    times = ("grpc.keepalive_time_ms", "grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms")
    options = tuple((name, value // 50 if name in times else value) for name, value in channel.CLIENT_OPTIONS)
    monkeypatch.setattr(channel, "CLIENT_OPTIONS", options)
    kit = authority.kit(relay.address)
    with CentralClient(kit, policy=RetryPolicy(deadline_s=0), call_s=600, stream_s=600) as client:
        client.list_versions()
        relay.drop()
        with pytest.raises(CenterUnreachable):
            next(client.watch_events())  # nothing is sent, and nothing would ever come


def test_both_sides_ping_through_silence_more_often_than_routers_forget():
    forgotten_s = 60  # the shortest life of an idle connection that is found in the field
    for options in (dict(channel.CLIENT_OPTIONS), dict(channel.SERVER_OPTIONS)):
        assert options["grpc.keepalive_time_ms"] <= forgotten_s * 1000 / 2
        assert options["grpc.http2.ping_timeout_ms"] == options["grpc.keepalive_timeout_ms"] <= 10_000
        assert options["grpc.keepalive_permit_without_calls"] == 1
        assert options["grpc.http2.max_pings_without_data"] == 0
    server = dict(channel.SERVER_OPTIONS)
    client = dict(channel.CLIENT_OPTIONS)
    assert server["grpc.http2.min_ping_interval_without_data_ms"] < client["grpc.keepalive_time_ms"]
