"""Wrap what a gRPC method does, whichever of the four shapes it has; interceptors are built on this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

Behavior = Callable[[Any, grpc.ServicerContext], Any]


def with_behavior(handler: Any, wrap: Callable[[Behavior], Behavior]) -> Any:
    """Return the handler with `wrap(behavior)` in its behaviour's place.

    Args:
        handler: a `grpc.RpcMethodHandler`, or None where no method was found.
        wrap: gets the behaviour; a method with a response stream needs a generator back.
    """
    if handler is None:
        return None
    return getattr(grpc, f"{_shape(handler)}_rpc_method_handler")(
        wrap(behavior_of(handler)),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def behavior_of(handler: Any) -> Behavior:
    """Return what a handler's method does."""
    return getattr(handler, _shape(handler))


def _shape(handler: Any) -> str:
    return f"{_arity(handler.request_streaming)}_{_arity(handler.response_streaming)}"


def _arity(streaming: bool) -> str:
    return "stream" if streaming else "unary"
