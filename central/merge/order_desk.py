"""Writes work orders: what a worker needs to know of a task, its modules and what it will take."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from central.merge.demand import Demand, demand_of
from central.merge.orders import WorkOrder
from transplant.artifact.manifest import parse_manifest
from transplant.errors import InvalidSettings, MergeNotPossible, NotFound
from transplant.types import ModuleKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from central.merge.tasks import MergeTask
    from central.usecases.center import Center
    from transplant.artifact.manifest import Manifest
    from transplant.backends.blob_stores import StorePlace

_KEPT = 1024  # manifests, of a few kilobytes each


class OrderDesk:
    """Used by one thread. A manifest is the digest of itself: what was read once is right for ever.

    Args:
        center: ports and policy.
        store: where the blobs are, as workers find them.
    """

    def __init__(self, center: Center, store: StorePlace) -> None:
        self._center = center
        self._store = store
        self._manifests: OrderedDict[str, tuple[str, Manifest]] = OrderedDict()

    def work_of(self, task: MergeTask) -> float:
        """Return how much a merge is to learn, for its place in the queue.

        Raises:
            NotFound: if one of its modules is not registered.
        """
        return self._demand(task).work

    def order(self, task: MergeTask) -> WorkOrder:
        """Return the order for a task that learns, and prepare its workbench.

        Raises:
            MergeNotPossible: if there is nothing to learn in it.
            NotFound: if one of its modules is not registered.
        """
        if task.host is None:
            raise MergeNotPossible(f"merge {task.key[:12]} has no host: nothing is learned for it")
        bench = self._center.workshop.bench(task.key)
        bench.prepare()
        self._look_up(_module_ids(task))
        policy = self._center.policy
        return WorkOrder(
            merge_key=task.key,
            task=task.to_document().decode(),
            manifests=(
                self._text(task.teacher_category_module),
                self._text(task.teacher_task_module),
                self._text(task.host.category_module),
                self._text(task.host.task_module),
            ),
            store=self._store.url,
            cache=self._store.cache,
            cache_bytes=self._store.cache_bytes,
            bench=str(bench.folder),
            statistics=self._text(task.statistics),
            answers=self._text(task.answers),
            supervisor=self._text(None if task.supervised_by is None else task.supervised_by.category_module),
            device=policy.device,
            gpu_share=0.0 if policy.device == "cpu" else policy.gpu_share,
            memory_bytes=self._demand(task).memory_bytes,
            proxy="" if task.proxy is None else str(self._center.workshop.gallery / task.proxy),
        )

    def _demand(self, task: MergeTask) -> Demand:
        found = self._look_up(_module_ids(task))
        try:
            return demand_of(task, [m for m in found if m.kind in (ModuleKind.CATEGORY, ModuleKind.TASK)])
        except InvalidSettings:
            return Demand(0, 0.0)  # the worker finds the same fault, and the merge fails with its words

    def _text(self, module_id: str | None) -> str:
        return self._manifests[module_id][0] if module_id else ""

    def _look_up(self, module_ids: Iterable[str]) -> list[Manifest]:
        wanted = tuple(module_ids)
        unknown = [module_id for module_id in wanted if module_id not in self._manifests]
        if unknown:
            with self._center.registry.read() as books:
                read = books.modules.manifests(unknown)
            for module_id in unknown:
                if module_id not in read:
                    raise NotFound(f"no module {module_id[:80]}")
                document = read[module_id]
                self._manifests[module_id] = document.decode(), parse_manifest(document)
        for module_id in wanted:
            self._manifests.move_to_end(module_id)
        while len(self._manifests) > _KEPT:
            self._manifests.popitem(last=False)
        return [self._manifests[module_id][1] for module_id in wanted]


def _module_ids(task: MergeTask) -> tuple[str, ...]:
    host = () if task.host is None else (task.host.category_module, task.host.task_module)
    given = (task.teacher_category_module, task.teacher_task_module, *host, task.statistics, task.answers)
    supervisor = () if task.supervised_by is None else (task.supervised_by.category_module,)
    return tuple(module_id for module_id in (*given, *supervisor) if module_id)
