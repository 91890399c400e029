"""The only place where a center is wired together."""

from __future__ import annotations

import json
import logging
import os
import threading
from typing import TYPE_CHECKING

import torch

from central.home import identity_folder, open_registry, store_root
from central.merge.reconcile import Reconciler
from central.merge.workshop import Workshop
from central.runners.local import LocalEngine
from central.runners.ray import RayEngine
from central.servicers.server import CentralServer
from central.usecases.center import Center
from central.usecases.part_files import PartFiles
from central.usecases.reap import reap
from transplant.artifact.durable_file import write_durably
from transplant.backends.local_blob_store import LocalBlobStore
from transplant.backends.system_clock import SystemClock

if TYPE_CHECKING:
    from central.registry.registry import Registry
    from central.runners.engine import Engine
    from central.settings import CentralSettings

log = logging.getLogger(__name__)


def compose_center(settings: CentralSettings, registry: Registry) -> Center:
    """Return a center on the files of a home."""
    return Center(
        registry=registry,
        store=LocalBlobStore(store_root(settings.home)),
        parts=PartFiles(settings.home / "uploads"),
        workshop=Workshop(settings.home / "merges"),
        clock=SystemClock(),
        policy=settings.policy(),
    )


def compose_engine(settings: CentralSettings) -> Engine:
    """Return the engine that the settings ask for."""
    return RayEngine(settings.workers) if settings.runner == "ray" else LocalEngine(settings.workers)


class Serving:
    """A center at work: the gRPC server and the merge loop, over one locked home."""

    def __init__(self, settings: CentralSettings) -> None:
        torch.set_num_threads(1)  # equal bits whatever the machine; parallelism is `workers`
        self._tls = identity_folder(settings.home).server_credentials()
        self._settings = settings
        self._registry = open_registry(settings)
        self._center = compose_center(settings, self._registry)
        self._engine = compose_engine(settings)
        self._server = CentralServer(
            self._center,
            settings.listen,
            self._tls,
            threads=settings.threads,
            reflect=settings.reflection,
        )
        self._stop = threading.Event()
        reconciler = Reconciler(self._center, self._engine, store_root(settings.home))
        self._loop = threading.Thread(target=reconciler.run, args=(self._stop,), name="merge-loop")

    @property
    def address(self) -> str:
        """Return host:port as bound."""
        return self._server.address

    def start(self) -> None:
        """Clear what a crash left, begin to merge, accept calls."""
        reap(self._center)
        write_durably(self._settings.home / "settings.json", self._settings.document())
        self._loop.start()
        self._server.start()
        about = {"address": self.address, "pid": os.getpid()}
        write_durably(self._settings.home / "serve.json", (json.dumps(about) + "\n").encode())
        log.info("serving on %s", self.address)

    def stop(self) -> None:
        """Stop in the order in which work comes in; learners keep their checkpoints."""
        (self._settings.home / "serve.json").unlink(missing_ok=True)
        self._server.stop()
        self._stop.set()
        self._center.bell.ring()
        if self._loop.ident is not None:
            self._loop.join()
        self._engine.close()
        self._registry.close()
        log.info("stopped")
