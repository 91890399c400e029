"""What a worker executes for one merge task: the same function in a thread and in a Ray worker."""

from __future__ import annotations

import json
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
from transplant.artifact.manifest import parse_manifest
from transplant.backends.local_blob_store import LocalBlobStore
from transplant.errors import CheckpointInvalid, TransplantError, UnexpectedFailure
from transplant.nets.allocator import keep_freed_memory
from transplant.nets.learning import AdapterProblem, LearnedAdapter, LearnerConfig
from transplant.types import Disclosure, ModuleKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from central.merge.tasks import MergeTask
    from transplant.artifact.manifest import Manifest

log = logging.getLogger(__name__)

CENTER_SITE = "central"
"""The name in the seal of what the center itself made."""


@dataclass(frozen=True)
class WorkOrder:
    """Everything a worker needs to know, as plain text: it travels to Ray as JSON.

    `manifests` are the canonical manifests of teacher f, teacher g_T, host f and host g_S.
    """

    merge_key: str
    task: str
    manifests: tuple[str, str, str, str]
    store: str
    bench: str

    def to_json(self) -> str:
        """Return one line."""
        return json.dumps(
            [self.merge_key, self.task, list(self.manifests), self.store, self.bench], ensure_ascii=True
        )


def order_from_json(line: str) -> WorkOrder:
    """Read `WorkOrder.to_json`."""
    merge_key, task, manifests, store, bench = json.loads(line)
    return WorkOrder(merge_key, task, tuple(manifests), store, bench)


def execute(order: WorkOrder, stopping: Callable[[], bool] = lambda: False) -> None:
    """Learn an adapter from where an earlier worker stopped, and leave the outcome on the workbench.

    Running it twice is harmless: a merge that has an outcome is not learned again, and equal orders
    give equal bytes (one computing thread, every seed from the task's key).

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
    manifests = [parse_manifest(document.encode()) for document in order.manifests]
    config = LearnerConfig.from_dict(task.settings).with_seed(task.seed)
    problem = _problem(task, manifests, LocalBlobStore(Path(order.store)))

    def learn(resume: bytes | None) -> LearnedAdapter:
        return learn_route(
            problem,
            config,
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
    manifest, payload = seal(
        learned.adapter,
        site=CENTER_SITE,
        category=task.category,
        kind=ModuleKind.ADAPTER,
        task=task.task,
        architecture=learned.architecture,
        metrics=figures,
        parents=tuple(dict.fromkeys(entry.module_id for entry in manifests)),
    )
    return Outcome(manifest=manifest.canonical_bytes(), figures=figures), payload


def _problem(task: MergeTask, manifests: list[Manifest], store: LocalBlobStore) -> AdapterProblem:
    teacher_f, teacher_g, host_f, host_g = manifests
    nets = [load_module(manifest, store.path_of(manifest.payload_sha256)) for manifest in manifests]
    return AdapterProblem(
        category_module=nets[0],
        teacher_task_module=nets[1],
        host_category_module=nets[2],
        host_task_module=nets[3],
        architecture=teacher_g.architecture.to_type(),
        host_architecture=host_g.architecture.to_type(),
        task=task.task,
        mean_norm=_mean_norm(teacher_f),
        host_mean_norm=_mean_norm(host_f),
    )


def _mean_norm(manifest: Manifest) -> float | None:
    statistics = manifest.statistics
    told = statistics.level is not Disclosure.NONE and statistics.mean_norm > 0
    return statistics.mean_norm if told else None
