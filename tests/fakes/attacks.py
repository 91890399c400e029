"""A table of attacks: each a function whose docstring says what it is, with the one end that it may have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc

from transplant.rpc.channel import Kit, open_channel
from transplant.rpc.status import from_rpc_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from transplant.errors import TransplantError


@dataclass(frozen=True)
class Attack:
    """What is tried, and the error class and gRPC status that its caller must get."""

    run: Callable[[Any], object]
    error: type[TransplantError]
    status: grpc.StatusCode
    message: str

    def __str__(self) -> str:
        return self.run.__name__


@dataclass
class Attacks:
    """The table; used as a decorator it takes another line."""

    table: list[Attack] = field(default_factory=list)

    def __call__(
        self, error: type[TransplantError], status: grpc.StatusCode | None = None, message: str = ""
    ) -> Callable[[Callable[[Any], object]], Callable[[Any], object]]:
        """Add a case; the status is the class's own unless said otherwise."""

        def add(run: Callable[[Any], object]) -> Callable[[Any], object]:
            assert run.__doc__, "each case says what it is"
            self.table.append(Attack(run, error, status or grpc.StatusCode[error.status], message))
            return run

        return add


def outcome(attempt: Callable[[], object]) -> tuple[type[TransplantError], grpc.StatusCode, str] | None:
    """Return what a caller got: class, status and message; None where the call went through."""
    try:
        attempt()
    except grpc.RpcError as error:
        caught = from_rpc_error(error)
        return type(caught), error.code(), str(caught)
    return None


def check(attack: Attack, world: object) -> None:
    """Try an attack and compare its end."""
    got = outcome(lambda: attack.run(world))
    assert got is not None, "it went through"
    assert got[:2] == (attack.error, attack.status), got
    assert attack.message in got[2], got[2]


def raw_call(
    channel: grpc.Channel, method: str, requests: Iterable[bytes], timeout_s: float = 20.0
) -> Iterator[bytes]:
    """Call any method with any bytes, past every client and every stub."""
    call = channel.stream_stream(
        method, request_serializer=lambda data: data, response_deserializer=lambda data: data
    )
    return call(iter(requests), timeout=timeout_s)


def channel_to(kit: Kit, address: str) -> grpc.Channel:
    """Open a connection of its own, whatever others the same kit has."""
    return open_channel(kit, address)
