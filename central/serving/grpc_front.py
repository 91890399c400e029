"""The gRPC endpoint of a served net: mutual TLS with the center's certificates, or loopback without.

Serve's own gRPC proxy has neither TLS nor an address to listen on, so this server stands in front and hands
requests on to the replicas.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from central.serving.asks import MOST_BYTES, Ask
from transplant.errors import InvalidSettings
from transplant.rpc.channel import SERVER_OPTIONS
from transplant.rpc.convert import refuse_unknown_fields, task_from_proto, task_to_proto
from transplant.rpc.status import ServerInterceptor
from transplant.types import Role
from transplant.v1 import prediction_pb2, prediction_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from central.serving.asks import Answered, CategoryAnswer, Description

SERVICE = prediction_pb2.DESCRIPTOR.services_by_name["Prediction"].full_name
_EVERYBODY = frozenset(Role)
RIGHTS: Mapping[str, frozenset[Role]] = {
    f"/{SERVICE}/Predict": _EVERYBODY,
    f"/{SERVICE}/Describe": _EVERYBODY,
    "/grpc.health.v1.Health/Check": _EVERYBODY,
}
"""Who may call what, where callers have certificates: what is not in it is refused."""
_ENVELOPE_BYTES = 1 << 20
_GRACE_S = 10.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Answerer(Protocol):
    """Whoever answers: a session with Ray Serve, or a net in this process."""

    def ask(self, ask: Ask) -> Answered:
        """Have a request answered."""
        ...

    def describe(self) -> Description:
        """Return what is served."""
        ...


class PredictionServicer(prediction_pb2_grpc.PredictionServicer):
    """Parses, asks, replies."""

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer

    def Predict(
        self, request: prediction_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> prediction_pb2.PredictResponse:
        """Answer one request."""
        del context
        refuse_unknown_fields(request)
        task = task_from_proto(request.task)
        if task is None:
            raise InvalidSettings("task: say which")
        ask = Ask(
            tuple(request.pictures),
            task,
            tuple(request.categories),
            request.budget,
            request.version,
            request.masks,
        )
        told = self._answerer.ask(ask)
        answers = [
            prediction_pb2.PictureAnswer(categories=[_category(each) for each in answer])
            for answer in told.answers
        ]
        return prediction_pb2.PredictResponse(version=told.version, digest=told.digest, answers=answers)

    def Describe(
        self, request: prediction_pb2.DescribeRequest, context: grpc.ServicerContext
    ) -> prediction_pb2.DescribeResponse:
        """Say what is served."""
        del context
        refuse_unknown_fields(request)
        told = self._answerer.describe()
        tasks = [
            prediction_pb2.ServedTask(
                task=task_to_proto(task),
                categories=categories,
                supervised_by=told.supervised_by.get(task, {}),
            )
            for task, categories in told.categories.items()
        ]
        return prediction_pb2.DescribeResponse(version=told.version, digest=told.digest, tasks=tasks)


class GrpcFront:
    """A gRPC server in front of whoever answers.

    Args:
        answerer: answers.
        listen: host:port; port 0: any free one.
        credentials: of TLS; None: without, on loopback only.
        interceptors: that check callers, where there are certificates.
        threads: requests that wait for their answers at a time.

    Raises:
        InvalidSettings: if the address cannot be bound, or is not loopback and there is no TLS.
    """

    def __init__(
        self,
        answerer: Answerer,
        listen: str,
        credentials: grpc.ServerCredentials | None = None,
        interceptors: tuple[grpc.ServerInterceptor, ...] = (),
        threads: int = 64,
    ) -> None:
        host = listen.rpartition(":")[0]
        if credentials is None and host not in _LOOPBACK:
            raise InvalidSettings(
                f"{listen} can be reached from elsewhere, and there is no certificate to know callers by: "
                "serve a center's home, or listen on 127.0.0.1"
            )
        limits = [(name, value) for name, value in SERVER_OPTIONS if "message_length" not in name]
        size = MOST_BYTES + _ENVELOPE_BYTES
        self._server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="predict"),
            interceptors=[ServerInterceptor(), *interceptors],
            options=[
                *limits,
                ("grpc.max_receive_message_length", size),
                ("grpc.max_send_message_length", 4 * size),
            ],
        )
        self._health = health.HealthServicer()
        prediction_pb2_grpc.add_PredictionServicer_to_server(PredictionServicer(answerer), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        try:
            if credentials is None:
                port = self._server.add_insecure_port(listen)
            else:
                port = self._server.add_secure_port(listen, credentials)
        except RuntimeError as error:
            raise InvalidSettings(f"cannot listen on {listen}: is another server running there?") from error
        self.address = f"{host}:{port}"

    def start(self) -> None:
        """Accept requests, and say so to health checks."""
        self._server.start()
        for service in ("", SERVICE):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    def stop(self) -> None:
        """Say NOT_SERVING, let requests under way end, then hang up."""
        self._health.enter_graceful_shutdown()
        self._server.stop(_GRACE_S).wait()


def _category(told: CategoryAnswer) -> prediction_pb2.CategoryAnswer:
    return prediction_pb2.CategoryAnswer(
        category=told.category,
        probability=told.probability,
        logit=told.logit,
        share_percent=told.share_percent or 0.0,
        mask_png=told.mask_png,
        supervised_by=told.supervised_by,
    )
