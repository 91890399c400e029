"""What a worker executes for one merge task: the same function in a thread and in a Ray worker."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from central.merge.learn import learn_route
from central.merge.tasks import task_from_document
from central.merge.workshop import Outcome, Workbench
from transplant.artifact.codec import load_module, seal
from transplant.artifact.disclosed import load_answers, load_statistics
from transplant.artifact.manifest import parse_manifest
from transplant.backends.blob_stores import open_store
from transplant.errors import CheckpointInvalid, TransplantError, UnexpectedFailure
from transplant.nets.allocator import keep_freed_memory
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.learning import AdapterProblem, LearnedAdapter
from transplant.types import Disclosure, ModuleKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from central.merge.orders import WorkOrder
    from central.merge.tasks import MergeTask
    from transplant.artifact.manifest import Manifest
    from transplant.ports.blob_store import BlobStore

log = logging.getLogger(__name__)

CENTER_SITE = "central"
"""The name in the seal of what the center itself made."""


def execute(order: WorkOrder, stopping: Callable[[], bool] = lambda: False) -> None:
    """Learn an adapter from where an earlier worker stopped, and leave the outcome on the workbench.

    Running it twice is harmless: a merge that has an outcome is not learned again, and equal orders
    give equal bytes on a CPU (one computing thread, every seed from the task's key). What was learned on a
    GPU carries the figure `on_gpu`.

    Args:
        order: what to do.
        stopping: asked before each step, beside the stop sign of the workbench.
    """
    torch.set_num_threads(1)  # sums over several threads are not reproducible
    keep_freed_memory()
    bench = Workbench(Path(order.bench))
    earlier = bench.outcome()
    if earlier is not None and not earlier.error:
        return
    try:
        outcome, payload = _learn(order, bench, stopping)
    except TransplantError as error:
        outcome, payload = Outcome(error.code(), str(error)), b""
    except Exception as error:
        log.exception("merge %s failed", order.merge_key)
        message = f"{type(error).__name__}: {error}"
        outcome, payload = Outcome(UnexpectedFailure.code(), message), b""
    bench.write_outcome(outcome, payload)


def _learn(order: WorkOrder, bench: Workbench, stopping: Callable[[], bool]) -> tuple[Outcome, bytes]:
    task = task_from_document(order.task.encode())
    given = _Given.of(order)
    config = LearnerConfig.from_dict(task.settings).with_seed(task.seed)
    problem = _problem(task, given, open_store(order.store, order.cache, order.cache_bytes))

    def learn(resume: bytes | None) -> LearnedAdapter:
        return learn_route(
            problem,
            config,
            device=order.device,
            resume=resume,
            save=bench.save_checkpoint,
            progress=bench.report,
            cancelled=lambda: stopping() or bench.stopped(),
        )

    try:
        learned = learn(bench.checkpoint())
    except CheckpointInvalid as error:
        log.warning("merge %s starts anew: %s", order.merge_key, error)
        bench.drop_checkpoint()
        learned = learn(None)
    figures = {name: float(value) for name, value in learned.figures.items() if math.isfinite(value)}
    if learned.device != "cpu":
        figures["on_gpu"] = 1.0
    manifest, payload = seal(
        learned.adapter,
        site=CENTER_SITE,
        category=task.category,
        kind=ModuleKind.ADAPTER,
        task=task.task,
        architecture=learned.architecture,
        metrics=figures,
        parents=given.module_ids(),
    )
    return Outcome(manifest=manifest.canonical_bytes(), figures=figures), payload


@dataclass(frozen=True)
class _Given:
    """The parsed manifests of an order."""

    teacher_f: Manifest
    teacher_g: Manifest | None
    host_f: Manifest
    host_g: Manifest
    statistics: Manifest | None
    answers: Manifest | None

    @classmethod
    def of(cls, order: WorkOrder) -> _Given:
        teacher_f, teacher_g, host_f, host_g = order.manifests
        return cls(
            parse_manifest(teacher_f.encode()),
            _parsed(teacher_g),
            parse_manifest(host_f.encode()),
            parse_manifest(host_g.encode()),
            _parsed(order.statistics),
            _parsed(order.answers),
        )

    def module_ids(self) -> tuple[str, ...]:
        """Return the lineage of what is learned, each id once."""
        every = (self.teacher_f, self.teacher_g, self.host_f, self.host_g, self.statistics, self.answers)
        return tuple(dict.fromkeys(entry.module_id for entry in every if entry is not None))


def _parsed(document: str) -> Manifest | None:
    return parse_manifest(document.encode()) if document else None


def _problem(task: MergeTask, given: _Given, store: BlobStore) -> AdapterProblem:
    def path(manifest: Manifest) -> Path:
        return store.path_of(manifest.payload_sha256)

    f, g, statistics, answers = given.teacher_f, given.teacher_g, given.statistics, given.answers
    return AdapterProblem(
        category_module=load_module(f, path(f)),
        teacher_task_module=None if g is None else load_module(g, path(g)),
        host_category_module=load_module(given.host_f, path(given.host_f)),
        host_task_module=load_module(given.host_g, path(given.host_g)),
        architecture=f.architecture.to_type(),
        host_architecture=given.host_g.architecture.to_type(),
        task=task.task,
        mean_norm=_mean_norm(f),
        host_mean_norm=_mean_norm(given.host_f),
        statistics=None if statistics is None else load_statistics(statistics, path(statistics)),
        answers=None if answers is None else load_answers(answers, path(answers)),
    )


def _mean_norm(manifest: Manifest) -> float | None:
    statistics = manifest.statistics
    told = statistics.level is not Disclosure.NONE and statistics.mean_norm > 0
    return statistics.mean_norm if told else None
