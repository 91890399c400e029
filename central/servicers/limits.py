"""Limits of a single caller: how many calls it may have under way, and how long it may keep one waiting.

Each call holds a thread of the server from the moment it begins, before its first message is here. Without
a limit one certificate is enough to hold all of them: by opening streams, by calls whose request never
comes, or by downloads that nobody reads. So this stands before all else that looks at a call, and gRPC
never waits for a request itself: it hands every request over as bytes that come in, and they are read here.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from central.identity.peer import peer_of
from central.servicers.access import certificate_of
from central.servicers.patience import Patience, Wait
from transplant.artifact.limits import DEFAULT_LIMITS
from transplant.errors import InvalidSettings, TooLarge, TooManyCalls
from transplant.rpc.handlers import behavior_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from transplant.ports.clock import Clock
    from transplant.types import Identity

REQUEST_BYTES = DEFAULT_LIMITS.manifest_bytes + (64 << 10)
"""Largest single request; a message takes fifty times its bytes once it is parsed. Chunks come as streams."""


@dataclass(frozen=True)
class CallLimits:
    """What one identity may have under way at once.

    Attributes:
        streams: uploads, downloads and watches.
        calls: all calls, streams among them.
        idle_s: how long a call may wait for its caller to send, or to read.
    """

    streams: int = 23
    calls: int = 29
    idle_s: float = 120.0

    @classmethod
    def of(cls, threads: int, streams: int = 32, idle_s: float = 120.0) -> CallLimits:
        """Return limits under which one identity leaves a third of the server's threads to others."""
        streams = min(streams, max(1, threads // 2 - 1))
        return cls(streams, streams + max(1, threads // 8), idle_s)


class LimitsInterceptor(grpc.ServerInterceptor):
    """Counts calls by identity, reads their requests, and ends those whose caller does nothing.

    Args:
        limits: see there.
        clock: the center's.
    """

    def __init__(self, limits: CallLimits, clock: Clock) -> None:
        self._limits = limits
        self.patience = Patience(limits.idle_s, clock)
        self._counting = threading.Lock()
        self._calls: Counter[Identity] = Counter()
        self._streams: Counter[Identity] = Counter()

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Put the limits in front of the method's behaviour."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        sends, answers = handler.request_streaming, handler.response_streaming
        behavior = behavior_of(handler)
        parse: Callable[[bytes], Any] = handler.request_deserializer

        def request_of(requests: Iterator[bytes], wait: Wait) -> Any:
            return _parsed(requests, parse, wait) if sends else _only(requests, parse, wait)

        def call(requests: Iterator[bytes], context: grpc.ServicerContext) -> Any:
            with self._under_way(context, stream=sends), self.patience.with_caller(context) as wait:
                return behavior(request_of(requests, wait), context)

        def stream(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
            with self._under_way(context, stream=True), self.patience.with_caller(context) as wait:
                for response in behavior(request_of(requests, wait), context):
                    with wait:
                        yield response

        make = grpc.stream_stream_rpc_method_handler if answers else grpc.stream_unary_rpc_method_handler
        return make(stream if answers else call, response_serializer=handler.response_serializer)

    @contextmanager
    def _under_way(self, context: grpc.ServicerContext, *, stream: bool) -> Generator[None]:
        """Count a call of the caller's until the block is left.

        Raises:
            NotAuthenticated: if the connection has no client certificate with a transplant identity.
            TooManyCalls: if the caller has as many under way as it may.
        """
        who = peer_of(certificate_of(context)).identity
        with self._counting:
            for counts, most, what in (
                (self._streams, self._limits.streams, "streams"),
                (self._calls, self._limits.calls, "calls"),
            ):
                if (stream or counts is self._calls) and counts[who] >= most:
                    raise TooManyCalls(
                        f"{who.role.value} {who.name} has {most} {what} under way, which is the limit"
                    )
            self._calls[who] += 1
            self._streams[who] += stream
        try:
            yield
        finally:
            with self._counting:
                self._calls[who] -= 1
                self._streams[who] -= stream
                if not self._calls[who]:
                    del self._calls[who], self._streams[who]


def _only(requests: Iterator[bytes], parse: Callable[[bytes], Any], wait: Wait) -> Any:
    with wait:
        data = next(requests, None)
    if data is None:
        raise InvalidSettings("the call came without a request")
    if len(data) > REQUEST_BYTES:
        raise TooLarge(f"the request has {len(data)} bytes; at most {REQUEST_BYTES} are read")
    return _message(data, parse)


def _parsed(requests: Iterator[bytes], parse: Callable[[bytes], Any], wait: Wait) -> Iterator[Any]:
    while True:
        with wait:
            data = next(requests, None)
        if data is None:
            return
        yield _message(data, parse)


def _message(data: bytes, parse: Callable[[bytes], Any]) -> Any:
    try:
        return parse(data)
    except DecodeError as error:
        raise InvalidSettings(f"{len(data)} bytes came that are not the message of this call") from error
