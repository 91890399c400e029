"""What a worker executes for one merge task: the same function in a thread and in a Ray worker."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from central.merge.learn import learn_route
from central.merge.public_images import read_public_images
from central.merge.supervisor import supervised_answers
from central.merge.tasks import task_from_document
from central.merge.workshop import Cost, Outcome, Workbench
from transplant.artifact.codec import load_module, seal
from transplant.artifact.disclosed import load_answers, load_statistics
from transplant.artifact.manifest import parse_manifest
from transplant.backends.blob_stores import open_store
from transplant.datafree.function_distillation import agreement_of
from transplant.datafree.pipeline import best_source
from transplant.errors import CheckpointInvalid, MergeEngineUnavailable, TransplantError, UnexpectedFailure
from transplant.nets.allocator import keep_freed_memory
from transplant.nets.architecture_table import image_px
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.learning import AdapterProblem, LearnedAdapter
from transplant.nets.transplant_net import freeze
from transplant.types import Disclosure, ModuleKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from central.merge.orders import WorkOrder
    from central.merge.tasks import MergeTask
    from transplant.artifact.manifest import Manifest
    from transplant.ports.blob_store import BlobStore

log = logging.getLogger(__name__)

CENTER_SITE = "central"
"""The name in the seal of what the center itself made."""

_LOOK_S = 0.2
"""Between two looks at the workbench, which may lie on another machine: a step of a small net takes less."""


def execute(order: WorkOrder, stopping: Callable[[], bool] = lambda: False) -> None:
    """Learn an adapter from where an earlier worker stopped, and leave the outcome on the workbench.

    Running it twice is harmless: a merge that has an outcome is not learned again, and equal orders
    give equal bytes on a CPU (one computing thread, every seed from the task's key). What was learned on a
    GPU carries the figure `on_gpu`.

    Args:
        order: what to do.
        stopping: asked before each step, beside the stop sign of the workbench.

    Raises:
        MergeEngineUnavailable: if this machine does not see the workbench.
    """
    torch.set_num_threads(1)  # sums over several threads are not reproducible
    keep_freed_memory()
    bench = Workbench(Path(order.bench))
    if not bench.folder.is_dir():
        raise MergeEngineUnavailable(
            f"this worker does not see {bench.folder}: every Ray node must mount the center's home at the "
            "same path, because checkpoints and results lie there"
        )
    earlier = bench.outcome()
    if earlier is not None and not earlier.error:
        return
    began_s, began_cpu_s = time.monotonic(), time.thread_time()
    try:
        outcome, payload = _learn(order, bench, stopping)
    except TransplantError as error:
        outcome, payload = Outcome(error.code(), str(error)), b""
    except Exception as error:
        log.exception("merge %s failed", order.merge_key)
        message = f"{type(error).__name__}: {error}"
        outcome, payload = Outcome(UnexpectedFailure.code(), message), b""
    bench.write_outcome(outcome, payload)
    bench.tell_cost(Cost(time.monotonic() - began_s, time.thread_time() - began_cpu_s))


def _learn(order: WorkOrder, bench: Workbench, stopping: Callable[[], bool]) -> tuple[Outcome, bytes]:
    task, given, problem, config = _read(order)
    contact = _Contact(bench, stopping)

    def learn(resume: bytes | None) -> LearnedAdapter:
        return learn_route(
            problem,
            config,
            device=order.device,
            resume=resume,
            save=bench.save_checkpoint,
            progress=contact.report,
            cancelled=contact.stopped,
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


def problem_of(order: WorkOrder) -> tuple[AdapterProblem, LearnerConfig]:
    """Return what an order is about, its modules loaded and verified, with the learner's settings."""
    return _read(order)[2:]


def _read(order: WorkOrder) -> tuple[MergeTask, _Given, AdapterProblem, LearnerConfig]:
    task, given = task_from_document(order.task.encode()), _Given.of(order)
    config = LearnerConfig.from_dict(task.settings).with_seed(task.seed)
    problem = _problem(task, given, config, open_store(order.store, order.cache, order.cache_bytes))
    if task.proxy is not None:
        side = image_px(problem.architecture)
        images = torch.from_numpy(read_public_images(Path(order.proxy), task.proxy, side))
        problem = replace(problem, proxy_images=images)
    return task, given, problem, config


def agreement_with_teacher(order: WorkOrder, adapter: nn.Module) -> dict[str, float]:
    """Return the data-free figures of an adapter that was not learned by a worker, for the same gate.

    Args:
        order: of the merge whose teacher and host it connects.
        adapter: what is scored, by the x that the merge's own learner would hold out.
    """
    problem, config = problem_of(order)
    figures = agreement_of(freeze(adapter), problem, replace(config, source=best_source(problem)))
    return {name: value for name, value in figures.items() if math.isfinite(value)}


class _Contact:
    """What a worker says and hears between two steps: now and then, for it costs as much as a small step."""

    def __init__(self, bench: Workbench, stopping: Callable[[], bool]) -> None:
        self._bench = bench
        self._stopping = stopping
        self._report_at_s = self._look_at_s = 0.0

    def report(self, step: int, total_steps: int, figures: dict[str, float]) -> None:
        """Tell how far the worker is; the last step is always told."""
        now_s = time.monotonic()
        if now_s >= self._report_at_s or step >= total_steps:
            self._report_at_s = now_s + _LOOK_S
            self._bench.report(step, total_steps, figures)

    def stopped(self) -> bool:
        """Tell whether the engine or the workbench asks to stop."""
        now_s = time.monotonic()
        if now_s < self._look_at_s:
            return self._stopping()
        self._look_at_s = now_s + _LOOK_S
        return self._stopping() or self._bench.stopped()


@dataclass(frozen=True)
class _Given:
    """The parsed manifests of an order."""

    teacher_f: Manifest
    teacher_g: Manifest | None
    host_f: Manifest
    host_g: Manifest
    statistics: Manifest | None
    answers: Manifest | None
    supervisor: Manifest | None

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
            _parsed(order.supervisor),
        )

    def module_ids(self) -> tuple[str, ...]:
        """Return the lineage of what is learned, each id once."""
        given = (self.statistics, self.answers, self.supervisor)
        every = (self.teacher_f, self.teacher_g, self.host_f, self.host_g, *given)
        return tuple(dict.fromkeys(entry.module_id for entry in every if entry is not None))


def _parsed(document: str) -> Manifest | None:
    return parse_manifest(document.encode()) if document else None


def _problem(task: MergeTask, given: _Given, config: LearnerConfig, store: BlobStore) -> AdapterProblem:
    def path(manifest: Manifest) -> Path:
        return store.path_of(manifest.payload_sha256)

    f, g, statistics = given.teacher_f, given.teacher_g, given.statistics
    teacher = None if g is None else load_module(g, path(g))
    answers = None if given.answers is None else load_answers(given.answers, path(given.answers))
    if given.supervisor is not None and teacher is not None:
        supervisor = freeze(load_module(given.supervisor, path(given.supervisor)))
        side = image_px(f.architecture.to_type())
        teacher, answers = None, supervised_answers(supervisor, freeze(teacher), task.task, side, config)
    return AdapterProblem(
        category_module=load_module(f, path(f)),
        teacher_task_module=teacher,
        host_category_module=load_module(given.host_f, path(given.host_f)),
        host_task_module=load_module(given.host_g, path(given.host_g)),
        architecture=f.architecture.to_type(),
        host_architecture=given.host_g.architecture.to_type(),
        task=task.task,
        mean_norm=_mean_norm(f),
        host_mean_norm=_mean_norm(given.host_f),
        statistics=None if statistics is None else load_statistics(statistics, path(statistics)),
        answers=answers,
    )


def _mean_norm(manifest: Manifest) -> float | None:
    statistics = manifest.statistics
    told = statistics.level is not Disclosure.NONE and statistics.mean_norm > 0
    return statistics.mean_norm if told else None
