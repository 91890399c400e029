"""Limits of callers: how many calls they may have under way, and how long they may keep one waiting.

Each call holds a thread of the server from the moment it begins, before its first message is here. Without
a limit one certificate is enough to hold all of them: by opening streams, by calls whose request never
comes, or by downloads that nobody reads. So this stands before all else that looks at a call, and gRPC
never waits for a request itself: it hands every request over as bytes that come in, and they are read here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from central.identity.peer import peer_of
from central.servicers.access import certificate_of
from central.servicers.call_limits import Kind
from central.servicers.open_calls import OpenCalls
from central.servicers.patience import Patience
from central.servicers.rights import WATCHES
from transplant.artifact.limits import DEFAULT_LIMITS
from transplant.errors import InvalidSettings, TooLarge
from transplant.rpc.handlers import behavior_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from central.servicers.call_limits import CallLimits
    from central.servicers.open_calls import OpenCall
    from transplant.ports.clock import Clock

REQUEST_BYTES = DEFAULT_LIMITS.manifest_bytes + (64 << 10)
"""Largest single request; a message takes fifty times its bytes once it is parsed. Chunks come as streams."""


class LimitsInterceptor(grpc.ServerInterceptor):
    """Gives calls their places, reads their requests, and ends those whose caller does nothing.

    Args:
        limits: see there.
        clock: the center's.
    """

    def __init__(self, limits: CallLimits, clock: Clock) -> None:
        self.calls = OpenCalls(limits, clock)
        self.patience = Patience(self.calls, limits.idle_s, clock)

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
        watches = str(handler_call_details.method) in WATCHES
        kind = Kind.WATCH if watches else Kind.STREAM if sends or answers else Kind.PLAIN
        behavior = behavior_of(handler)
        parse: Callable[[bytes], Any] = handler.request_deserializer

        def request_of(requests: Iterator[bytes], turn: OpenCall) -> Any:
            return _parsed(requests, parse, turn) if sends else _only(requests, parse, turn)

        def call(requests: Iterator[bytes], context: grpc.ServicerContext) -> Any:
            with self._under_way(kind, context) as turn:
                return behavior(request_of(requests, turn), context)

        def stream(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
            with self._under_way(kind, context) as turn:
                for response in behavior(request_of(requests, turn), context):
                    with turn:
                        yield response

        make = grpc.stream_stream_rpc_method_handler if answers else grpc.stream_unary_rpc_method_handler
        return make(stream if answers else call, response_serializer=handler.response_serializer)

    def _under_way(self, kind: Kind, context: grpc.ServicerContext) -> AbstractContextManager[OpenCall]:
        """Give a call its place.

        Raises:
            NotAuthenticated: if the connection has no client certificate with a transplant identity.
        """
        return self.calls.taking(peer_of(certificate_of(context)).identity, kind, context)


def _only(requests: Iterator[bytes], parse: Callable[[bytes], Any], turn: OpenCall) -> Any:
    with turn:
        data = next(requests, None)
    if data is None:
        raise InvalidSettings("the call came without a request")
    if len(data) > REQUEST_BYTES:
        raise TooLarge(f"the request has {len(data)} bytes; at most {REQUEST_BYTES} are read")
    return _message(data, parse)


def _parsed(requests: Iterator[bytes], parse: Callable[[bytes], Any], turn: OpenCall) -> Iterator[Any]:
    while True:
        with turn:
            data = next(requests, None)
        if data is None:
            return
        yield _message(data, parse)


def _message(data: bytes, parse: Callable[[bytes], Any]) -> Any:
    try:
        return parse(data)
    except DecodeError as error:
        raise InvalidSettings(f"{len(data)} bytes came that are not the message of this call") from error
