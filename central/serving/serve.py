"""A served net from start to stop: lay a version ready, serve it, go on to newer ones."""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING

from central.serving.answering import ServedNet
from central.serving.grpc_front import GrpcFront
from central.serving.session import ServeSession
from transplant.artifact.durable_file import storage_errors, write_durably
from transplant.artifact.net_folder import NetFolder
from transplant.errors import TransplantError

if TYPE_CHECKING:
    import threading

    from central.serving.net_source import NetSource
    from central.serving.session import ServeOptions

log = logging.getLogger(__name__)


class NetServing:
    """Replicas, the gRPC server in front of them, and the version that they serve.

    Args:
        source: where versions come from.
        options: of Ray Serve.
        grpc_listen: host:port of gRPC.
        number: which version; 0: the newest, and each newer one when it comes.
    """

    def __init__(self, source: NetSource, options: ServeOptions, grpc_listen: str, number: int) -> None:
        self._source = source
        self._options = options
        self._number = number
        self._grpc_listen = grpc_listen
        self._session: ServeSession | None = None
        self._front: GrpcFront | None = None

    def start(self) -> None:
        """Serve; the addresses stand in ROOT/serve.json from then on.

        Raises:
            NotFound: if there is no such version.
            ArtifactRejected: if one of its modules was damaged.
            InvalidSettings: if an address cannot be used.
            MergeEngineUnavailable: if Ray does not start.
        """
        number = self._checked(self._number)
        self._session = ServeSession(self._options)
        self._front = GrpcFront(self._session, self._grpc_listen, *self._source.access())
        self._session.switch(number)
        self._front.start()
        self._told()
        log.info(
            "serving version %d: http://127.0.0.1:%d, gRPC on %s",
            number,
            self._session.http_port,
            self._front.address,
        )

    def follow(self, stop: threading.Event, poll_s: float) -> None:
        """Wait for the end; where no version was chosen, go on to newer ones meanwhile."""
        while not stop.wait(poll_s):
            if not self._number:
                self.renew()

    def renew(self) -> int:
        """Go on to the newest version, if it is another; return the one that is served now.

        A version that cannot be served is not taken; the one before it goes on.
        """
        session = self._session
        if session is None:
            return 0
        try:
            newest = self._source.ready(0)
            if newest != session.version:
                session.switch(self._checked(newest))
                self._told()
                log.info("serving version %d", newest)
        except TransplantError as error:
            log.warning("going on with version %d: %s", session.version, error)
        return session.version

    def stop(self) -> None:
        """Stop in the order in which requests come in."""
        (self._source.root / "serve.json").unlink(missing_ok=True)
        if self._front is not None:
            self._front.stop()
        if self._session is not None:
            self._session.close()
        self._source.close()

    def _checked(self, number: int) -> int:
        """Lay a version ready and load it once here, so that no replica meets a damaged one."""
        ready = self._source.ready(number)
        ServedNet.load(NetFolder.at(self._source.root), ready)
        return ready

    def _told(self) -> None:
        if self._session is None or self._front is None:
            return
        about = {
            "http": f"127.0.0.1:{self._session.http_port}",
            "grpc": self._front.address,
            "version": self._session.version,
            "pid": os.getpid(),
        }
        path = self._source.root / "serve.json"
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, (json.dumps(about) + "\n").encode())
