"""Every RPC that there is, read from the descriptors of the generated stubs, and how to call one."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

import transplant.v1

OWN = "/transplant.v1."
ELSEWHERE = "transplant.serving.v1"
"""Package of what another server than the center's answers: the one of predictions."""
_MORE_BYTES = 64 << 20


@dataclass(frozen=True)
class Rpc:
    """One method of one service."""

    name: str
    client_streaming: bool
    server_streaming: bool

    def __str__(self) -> str:
        return self.name


def every_rpc() -> tuple[Rpc, ...]:
    """Return the methods of every service in `transplant.v1`, of health and of reflection."""
    return _methods(
        *(file for file in _own_files() if file.DESCRIPTOR.package != ELSEWHERE), health_pb2, reflection_pb2
    )


def every_prediction_rpc() -> tuple[Rpc, ...]:
    """Return the methods of every service that the server of predictions answers, health among them."""
    return _methods(*(file for file in _own_files() if file.DESCRIPTOR.package == ELSEWHERE), health_pb2)


def _own_files() -> list[Any]:
    return [
        importlib.import_module(f"transplant.v1.{found.name}")
        for found in pkgutil.iter_modules(transplant.v1.__path__)
        if found.name.endswith("_pb2")
    ]


def _methods(*files: Any) -> tuple[Rpc, ...]:
    return tuple(
        Rpc(f"/{service.full_name}/{method.name}", method.client_streaming, method.server_streaming)
        for file in files
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    )


def send(
    channel: grpc.Channel, rpc: Rpc, request: bytes = b"", *, timeout_s: float = 10.0, gzip: bool = False
) -> tuple[grpc.StatusCode, str, list[bytes]]:
    """Call a method with one message and return status, details and all answers."""
    shape = "_".join("stream" if many else "unary" for many in (rpc.client_streaming, rpc.server_streaming))
    method: Any = getattr(channel, shape)(
        rpc.name, request_serializer=lambda data: data, response_deserializer=lambda data: data
    )
    options = {"timeout": timeout_s, "compression": grpc.Compression.Gzip if gzip else None}
    answers: list[bytes] = []
    try:
        answer = method(iter([request]) if rpc.client_streaming else request, **options)
        answers += answer if rpc.server_streaming else [answer]
    except grpc.RpcError as error:
        return error.code(), error.details() or "", answers
    return grpc.StatusCode.OK, "", answers


def channel_of(address: str, ca: bytes, cert: bytes | None = None, key: bytes | None = None) -> grpc.Channel:
    """Open a channel as a stranger would: any certificate or none, messages of any size, no patience."""
    options = [
        ("grpc.ssl_target_name_override", "localhost"),
        ("grpc.max_send_message_length", _MORE_BYTES),
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 20),
        ("grpc.max_reconnect_backoff_ms", 20),
    ]
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, cert), options)
