"""The merge loop: reads the registry, does what the state machine commands, feeds back what happened.

Level-triggered: each round asks every open merge what is outstanding. A center that was killed at any
moment begins with the same question and goes on; nothing is remembered here that matters.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from central.merge.commands import AwaitVerdict, CheckCandidate, KeepLearning, PublishRoute, StartWhenFree
from central.merge.events import (
    AdapterLearned,
    EngineMissed,
    EngineReady,
    LearningFailed,
    TimePassed,
    WorkerDied,
)
from central.merge.orders import WorkOrder
from central.merge.state import outstanding
from central.registry.audit_book import CENTRAL, Action
from central.registry.events_book import MODULE_ACCEPTED
from central.runners.engine import Died, Ending, Finished
from central.usecases.check_candidate import check_candidate
from central.usecases.move_merge import feed, move_merge
from central.usecases.plan_merges import plan_merges
from central.usecases.publish_version import publish_version
from transplant.artifact.codec import verify_payload
from transplant.artifact.manifest import parse_manifest
from transplant.errors import ERRORS, MergeEngineUnavailable, TransplantError
from transplant.types import MergeState

if TYPE_CHECKING:
    import threading

    from central.merge.commands import Command
    from central.registry.values import StoredMerge
    from central.runners.engine import Engine
    from central.usecases.center import Center
    from transplant.backends.blob_stores import StorePlace

log = logging.getLogger(__name__)

_BUSY_S = 0.25
_IDLE_S = 2.0
_RETRY_S = 5.0


class Reconciler:
    """Drives every merge of a center. One of them runs, in one thread.

    Args:
        center: ports and policy.
        engine: what executes merge tasks.
        store: where the blobs are, as workers find them.
    """

    def __init__(self, center: Center, engine: Engine, store: StorePlace) -> None:
        self._center = center
        self._engine = engine
        self._store = store
        self._not_before_s: dict[str, float] = {}
        self._planned_at_ring = -1

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. A round that fails is logged, and the next one tries again.

        The engine is started at once: it takes seconds, and an operator sees at the start if it cannot.
        """
        self._start_engine()
        while not stop.is_set():
            heard = self._center.bell.rings
            try:
                busy = self.tick()
            except Exception:
                log.exception("a round of the merge loop failed; trying again in %g s", _RETRY_S)
                stop.wait(_RETRY_S)
                continue
            self._center.bell.wait(heard, _BUSY_S if busy else _IDLE_S)

    def _start_engine(self) -> None:
        try:
            self._engine.ensure_ready()
        except MergeEngineUnavailable as error:
            log.info("the merge engine is not ready yet: %s", error)
        except Exception:
            log.exception("the merge engine did not start; the first merge tries again")

    def tick(self) -> bool:
        """Do one round; return whether any merge is open."""
        self._plan()
        for ending in self._engine.collect():
            self._ended(ending)
        with self._center.registry.read() as books:
            merges = books.merges.list(open_only=True)
        learning = {m.task.key for m in merges if m.status.state is MergeState.LEARNING}
        for merge_key in self._engine.running() - learning:
            self._center.workshop.bench(merge_key).ask_to_stop()  # cancelled meanwhile
        for merge in merges:
            for command in outstanding(merge.status):
                self._obey_safely(command, merge, merges)
        return bool(merges)

    def _plan(self) -> None:
        heard = self._center.bell.rings
        if heard == self._planned_at_ring:
            return
        with self._center.registry.write() as books:
            added = plan_merges(self._center, books)
        self._planned_at_ring = heard
        if added:
            self._center.bell.ring()

    def _obey_safely(self, command: Command, merge: StoredMerge, merges: tuple[StoredMerge, ...]) -> None:
        """Execute a command; one merge's trouble must not hold up the others."""
        key, now_s = merge.task.key, self._center.clock.monotonic_s()
        if now_s < self._not_before_s.get(key, now_s):
            return
        try:
            self._obey(command, merge, merges)
            self._not_before_s.pop(key, None)
        except MergeEngineUnavailable as error:
            feed_if_news(self._center, merge, EngineMissed(str(error)))
        except TransplantError as error:
            self._not_before_s[key] = now_s + _RETRY_S
            log.warning("merge %s: %s: %s", key[:12], error.code(), error)
        except Exception:
            self._not_before_s[key] = now_s + _RETRY_S
            log.exception("merge %s: %s failed", key[:12], type(command).__name__)

    def _obey(self, command: Command, merge: StoredMerge, merges: tuple[StoredMerge, ...]) -> None:
        match command:
            case StartWhenFree() if merge.task.identity:
                feed(self._center, merge.task.key, EngineReady())
            case StartWhenFree():
                self._start_if_free(merge)
            case KeepLearning():
                self._keep_learning(merge)
            case CheckCandidate():
                check_candidate(self._center, merge)
            case AwaitVerdict(deadline=deadline):
                now = self._center.clock.now()
                if now >= deadline:
                    feed(self._center, merge.task.key, TimePassed(now))
            case PublishRoute():
                self._publish(merge, merges)
            case _:
                log.error("nothing is known about %s", command)

    def _start_if_free(self, merge: StoredMerge) -> None:
        if len(self._engine.running()) < self._engine.capacity:
            self._engine.ensure_ready()
            feed(self._center, merge.task.key, EngineReady())
            self._keep_learning(merge)

    def _keep_learning(self, merge: StoredMerge) -> None:
        key, task = merge.task.key, merge.task
        if key in self._engine.running() or task.host is None:
            return
        self._engine.ensure_ready()
        module_ids = (
            task.teacher_category_module,
            task.teacher_task_module,
            task.host.category_module,
            task.host.task_module,
            task.statistics,
            task.answers,
        )
        with self._center.registry.read() as books:
            f, g, host_f, host_g, statistics, answers = (
                books.modules.get(each).manifest.decode() if each else "" for each in module_ids
            )
        bench = self._center.workshop.bench(key)
        bench.prepare()
        order = WorkOrder(
            merge_key=key,
            task=task.to_document().decode(),
            manifests=(f, g, host_f, host_g),
            store=self._store.url,
            cache=self._store.cache,
            cache_bytes=self._store.cache_bytes,
            bench=str(bench.folder),
            statistics=statistics,
            answers=answers,
            device=self._center.policy.device,
        )
        self._engine.submit(order)

    def _ended(self, ending: Ending) -> None:
        key = ending.merge_key
        if isinstance(ending, Died):
            feed(self._center, key, WorkerDied(ending.reason))
            return
        if not isinstance(ending, Finished):
            feed(self._center, key, EngineMissed(ending.reason))
            return
        outcome = self._center.workshop.bench(key).outcome()
        if outcome is None:
            feed(self._center, key, WorkerDied("the worker ended without a result"))
        elif outcome.error:
            passing = outcome.error in ERRORS and ERRORS[outcome.error].retry
            reason = f"{outcome.error}: {outcome.message}"
            self._not_before_s[key] = self._center.clock.monotonic_s() + _RETRY_S
            feed(self._center, key, EngineMissed(reason) if passing else LearningFailed(reason))
        else:
            self._take_in(key, outcome.manifest, outcome.figures)

    def _take_in(self, key: str, document: bytes, figures: dict[str, float]) -> None:
        """Store and register an adapter and move its merge, as a site's module would be: blob, then rows."""
        center, bench = self._center, self._center.workshop.bench(key)
        manifest = parse_manifest(document)
        verify_payload(manifest, bench.adapter)
        center.store.put_bytes(bench.adapter.read_bytes())
        now = center.clock.now()
        with center.registry.write() as books:
            if books.modules.add(manifest, now):
                detail = f"{manifest.kind.value} {manifest.task.value if manifest.task else ''}".strip()
                books.audit.append(CENTRAL, Action.MODULE_REGISTERED, manifest.module_id, merge=key)
                books.events.add(
                    MODULE_ACCEPTED, manifest.module_id, now, category=manifest.category, detail=detail
                )
            move_merge(center, books, key, AdapterLearned(manifest.module_id, figures))
        bench.tidy()
        center.bell.ring()

    def _publish(self, merge: StoredMerge, merges: tuple[StoredMerge, ...]) -> None:
        """Publish a route; the tasks that a teacher brings along join the net together, in one version."""
        keys = [merge.task.key]
        if merge.task.identity:
            together = [m for m in merges if m.task.identity and m.teacher_id == merge.teacher_id]
            if not all(m.status.accepted for m in together):
                return
            keys = [m.task.key for m in together]
        publish_version(self._center, keys)


def feed_if_news(center: Center, merge: StoredMerge, event: EngineMissed) -> None:
    """Record that the engine is missing, once for each reason."""
    if merge.status.reason != event.reason:
        feed(center, merge.task.key, event)
