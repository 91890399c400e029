"""The only place where a center is wired together."""

from __future__ import annotations

import json
import logging
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from central.admission.desk import AdmissionDesk
from central.admission.examiner import ProcessExaminer
from central.audit.noted_head import HeadNotes
from central.home import identity_folder, last_alive, note_alive, registry_of, store_place
from central.identity.renewal import Renewals
from central.identity.server_tls import ServerTls
from central.merge.public_images import keep_public_images
from central.merge.reconcile import Reconciler
from central.merge.workshop import Workshop
from central.reaper import Reaper
from central.registry.audit_book import CENTRAL, Action
from central.runners.local import LocalEngine
from central.runners.ray import RayEngine
from central.servicers.call_limits import CallLimits
from central.servicers.server import CentralServer
from central.serving_watch import ServingWatch
from central.usecases.center import Center
from central.usecases.extend_deadlines import extend_deadlines
from central.usecases.part_files import PartFiles
from central.usecases.reap import reap
from transplant.artifact.digest import sha256_hex
from transplant.artifact.durable_file import write_durably
from transplant.backends.local_blob_store import LocalBlobStore
from transplant.backends.system_clock import SystemClock
from transplant.errors import TransplantError

if TYPE_CHECKING:
    from collections.abc import Callable

    from central.admission.examiner import Examiner
    from central.registry.registry import Registry
    from central.runners.engine import Engine
    from central.settings import CentralSettings
    from transplant.errors import AlreadyServing

log = logging.getLogger(__name__)


def compose_center(settings: CentralSettings, registry: Registry) -> Center:
    """Return a center on the files of a home, with a copy of the operator's public images in it.

    Raises:
        DatasetNotFound: if there is no folder of public images where the settings say, or too few are in it.
        DatasetInvalid: if one of them cannot be read.
    """
    policy, workshop = settings.policy(), Workshop(settings.home / "merges")
    if settings.proxy is not None:
        digest = keep_public_images(settings.proxy, workshop.gallery)
        policy = replace(policy, plan=replace(policy.plan, proxy=digest))
    return Center(
        registry=registry,
        store=store_place(settings).open(),
        parts=PartFiles(settings.home / "uploads"),
        workshop=workshop,
        clock=SystemClock(),
        policy=policy,
    )


def compose_engine(settings: CentralSettings) -> Engine:
    """Return the engine that the settings ask for."""
    if settings.runner == "local":
        return LocalEngine(settings.workers)
    ca = identity_folder(settings.home).ca
    own = ca.read_bytes() if ca.is_file() else str(settings.home).encode()
    return RayEngine(settings.workers, sha256_hex(own)[:16])


class Serving:
    """A center at work: gRPC server, merge loop and admission, over one locked home and one locked registry.

    Args:
        settings: what the operator decided.
        give_up: called when another center took the registry over while the database was away; the caller
            then stops this one, and finds the reason in `lost`.
        examiner: looks into received modules; default: a process of this center's own.
    """

    def __init__(
        self,
        settings: CentralSettings,
        give_up: Callable[[], None] = lambda: None,
        examiner: Examiner | None = None,
    ) -> None:
        torch.set_num_threads(1)  # equal bits whatever the machine; parallelism is `workers`
        identity = identity_folder(settings.home)
        tls = ServerTls(identity)
        self._settings = settings
        self._registry = registry_of(settings)
        self._center = compose_center(settings, self._registry)
        self._engine = compose_engine(settings)
        self._server = CentralServer(
            self._center,
            settings.listen,
            tls,
            Renewals(self._registry, self._center.clock, identity, automatic=settings.renewal == "automatic"),
            threads=settings.threads,
            reflect=settings.reflection,
            limits=CallLimits.of(settings.threads, settings.caller_streams, settings.caller_idle_s),
            ahead_bytes=settings.stream_ahead_bytes,
        )
        self._stop = threading.Event()
        reconciler = Reconciler(self._center, self._engine, store_place(settings))
        self._loop = threading.Thread(target=reconciler.run, args=(self._stop,), name="merge-loop")
        self._own_examiner: ProcessExaminer | None = None
        if examiner is None:
            examiner = self._own_examiner = ProcessExaminer()
        desk = AdmissionDesk(self._center, examiner)
        self._desk = threading.Thread(target=desk.run, args=(self._stop,), name="admission")
        self._lock = self._registry.serving_lock()
        self._notes = HeadNotes(settings.home, self._registry)
        self._watch = ServingWatch(self._lock, self._notes, give_up, alive=self._note_alive)
        store = self._center.store
        clear = store.clear_incoming if isinstance(store, LocalBlobStore) else lambda: 0  # S3 keeps no files
        self._reaper = Reaper(self._center, clear)
        self._began = False

    @property
    def address(self) -> str:
        """Return host:port as bound."""
        return self._server.address

    @property
    def lost(self) -> AlreadyServing | None:
        """Return why this center has to stop, if it has."""
        return self._watch.lost

    def start(self) -> None:
        """Clear what a crash left, begin to merge, accept calls.

        Raises:
            AlreadyServing: if another center serves this registry.
            InvalidSettings: if its database cannot be used, or is a later release's.
        """
        self._registry.take_over(self._lock)
        self._began = True
        self._notes.start()
        extend_deadlines(self._center, last_alive(self._settings.home))
        self._note_alive()
        document = self._settings.document()
        self._tell(Action.SERVE_STARTED, settings_sha256=sha256_hex(document))
        self._watch.start()
        reap(self._center)
        self._reaper.start()
        write_durably(self._settings.home / "settings.json", document)
        if self._own_examiner is not None:
            self._own_examiner.start()
        self._desk.start()
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
        if self._own_examiner is not None:
            self._own_examiner.close()
        if self._desk.ident is not None:
            self._desk.join()
        if self._loop.ident is not None:
            self._loop.join()
        self._engine.close()
        self._reaper.stop()
        self._watch.stop()
        if self._began and self.lost is None:
            try:
                self._tell(Action.SERVE_STOPPED)
                self._notes.note()
            except TransplantError as error:
                log.warning("the audit log does not say that this center stopped: %s", error)
        self._lock.release()
        self._registry.close()
        log.info("stopped")

    def _note_alive(self) -> None:
        note_alive(self._settings.home, self._center.clock.now())

    def _tell(self, action: Action, **detail: str) -> None:
        with self._registry.write() as books:
            books.audit.append(CENTRAL, action, self._settings.home.name, **detail)
