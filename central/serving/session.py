"""Ray Serve with one application, from its start to its end; versions are switched while it answers.

Ray has no authentication, and Serve's own gRPC proxy listens on every address without TLS. So Ray and Serve's
HTTP stay on loopback, and gRPC comes in through a server of ours (`central.serving.grpc_front`).
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from central.runners.ray_session import connect, session_environment
from central.serving.asks import Refused
from central.serving.wanted import write_wanted
from transplant.errors import ERRORS, MergeEngineUnavailable, UnexpectedFailure

if TYPE_CHECKING:
    from pathlib import Path

    from central.serving.asks import Answered, Ask, Description

APPLICATION = "transplant-net"
_OBJECT_STORE_BYTES = 200 << 20
_QUEUED = 4096
_BATCHES_AHEAD = 4
_LOAD_S = 600.0


@dataclass(frozen=True)
class ServeOptions:
    """How a net is served.

    Args:
        root: folder of versions and modules.
        http_port: on loopback; 0: any free one.
        replicas: processes that hold the net.
        threads: of each.
        batch: requests that are answered together.
        wait_s: how long a batch waits to be filled.
        timeout_s: of a request.
    """

    root: Path
    http_port: int = 8000
    replicas: int = 1
    threads: int = 1
    batch: int = 16
    wait_s: float = 0.002
    timeout_s: float = 60.0


class ServeSession:
    """One application on Ray Serve.

    Raises:
        MergeEngineUnavailable: if Ray cannot be started or reached.
    """

    def __init__(self, options: ServeOptions) -> None:
        self._options = options
        os.environ.update(session_environment())
        import ray
        from ray import serve
        from ray.exceptions import RayError

        from central.serving.replica import NetReplica

        self._ray, self._serve = ray, serve
        self.http_port = options.http_port or _free_port()
        ahead = _BATCHES_AHEAD * options.batch
        replica: Any = NetReplica
        self._deployment: Any = replica.options(
            name="net",
            num_replicas=options.replicas,
            max_ongoing_requests=ahead,
            max_queued_requests=_QUEUED,
            ray_actor_options={"num_cpus": options.threads},
            user_config={"batch": options.batch, "wait_s": options.wait_s},
        )
        self._handle: Any = None
        self.version = 0
        try:
            connect(options.replicas * options.threads + 1, _OBJECT_STORE_BYTES)
            serve.start(
                proxy_location="HeadOnly",
                http_options={
                    "host": "127.0.0.1",
                    "port": self.http_port,
                    "request_timeout_s": options.timeout_s,
                },
            )
        except (RayError, OSError, RuntimeError, ValueError, TimeoutError) as error:
            raise MergeEngineUnavailable(f"Ray Serve does not start: {error}") from error

    def switch(self, number: int) -> None:
        """Serve a version of the folder; requests under way end with the version that they began with.

        Raises:
            MergeEngineUnavailable: if a replica does not take it over: the others may have; try again.
            StorageFull: if the disk is full.
        """
        from ray.exceptions import RayError
        from ray.serve.exceptions import RayServeException

        options = self._options
        write_wanted(options.root, number)
        try:
            if self._handle is None:
                application = self._deployment.bind(str(options.root), options.threads)
                self._handle = self._serve.run(application, name=APPLICATION, route_prefix="/")
            self._handle.broadcast("take", number).results(timeout_s=_LOAD_S)
        except (RayError, RayServeException, RuntimeError, TimeoutError) as error:
            first = str(error).strip().partition("\n")[0]
            raise MergeEngineUnavailable(f"version {number} is not served everywhere: {first}") from error
        self.version = number

    def ask(self, ask: Ask) -> Answered:
        """Have a request answered.

        Raises:
            TransplantError: why it was refused.
            MergeEngineUnavailable: if no replica answers in time.
        """
        told = self._result(self._handle.ask.remote(ask))
        if isinstance(told, Refused):
            raise ERRORS.get(told.error, UnexpectedFailure)(told.message)
        return told

    def describe(self) -> Description:
        """Return what is served.

        Raises:
            MergeEngineUnavailable: if no replica answers in time.
        """
        return self._result(self._handle.describe.remote())

    def close(self) -> None:
        """End the application, Serve, and a Ray that was started here."""
        self._serve.shutdown()
        self._ray.shutdown()

    def _result(self, response: Any) -> Any:
        from ray.exceptions import RayError
        from ray.serve.exceptions import RayServeException

        try:
            return response.result(timeout_s=self._options.timeout_s)
        except (RayError, RayServeException, TimeoutError) as error:
            first = str(error).strip().partition("\n")[0]
            raise MergeEngineUnavailable(f"no replica answered: {first}") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
