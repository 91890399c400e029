"""Situations for tests of the planner: who brings what, what is there, how merges ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from central.merge.hosts import residents_of
from central.merge.learners import layers_of
from central.merge.plan import plan
from central.merge.situation import (
    Attempt,
    CompleteTeacher,
    Ending,
    KnownMerge,
    PlannedTask,
    PlanPolicy,
    Situation,
)
from central.merge.tasks import Host, learner_document
from transplant.types import Route, Seam, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from central.merge.situation import PlannedTask, Waiting

BOTH = (Task.CLASSIFICATION, Task.SEGMENTATION)
SEAM = Seam(32, 16, 16)
POLICY = PlanPolicy(founder="dog", learner=learner_document({"steps": 3}))


class Seams(dict):
    """Every category module has the usual seam unless a test says otherwise."""

    def __missing__(self, _key):
        return SEAM


def teacher(category: str, tasks=BOTH, *, site: str = "", name: str = "") -> CompleteTeacher:
    """Return a teacher; `name` tells a newer one of the same category from the first."""
    name = name or category
    modules = tuple((task, f"g-{name}-{task.value}") for task in tasks)
    return CompleteTeacher(f"f-{name}", site or f"site-{category}", category, f"f-{name}", modules)


def route(category: str, task: Task, adapter: str | None = None, name: str = "", key: str = "") -> Route:
    name = name or category
    host = f"g-{name}-{task.value}" if adapter is None else f"g-dog-{task.value}"
    return Route(category, task, f"f-{name}", adapter, host, key or f"m-{name}-{task.value}")


def known(
    category: str,
    task: Task,
    ending: Ending = Ending.OPEN,
    *,
    identity: bool = False,
    name: str = "",
    attempt: Attempt | None = None,
) -> KnownMerge:
    name = name or category
    return KnownMerge(
        f"m-{name}-{task.value}", f"f-{name}", category, task, identity, ending, attempt=attempt
    )


def situation(teachers=(), routes=(), merges=(), seams=None, **more) -> Situation:
    residents = residents_of(routes, lambda key: Host("dog", "f-dog", f"g-dog-{key.rsplit('-', 1)[-1]}"))
    return Situation(
        tuple(teachers),
        tuple(routes),
        tuple(merges),
        Seams(seams or {}),
        **{"residents": residents, **more},
    )


def after(seen: Situation, planned: PlannedTask, ending: Ending, agreement: float | None = None) -> Situation:
    """Return the situation once a planned merge has ended so; what was published has its route."""
    task = planned.task
    attempt = None
    if ending not in (Ending.OPEN, Ending.PUBLISHED):
        supervisor = "" if task.supervised_by is None else task.supervised_by.category_module
        layers = 0 if task.host is None else layers_of(task.settings)
        attempt = Attempt(task.host, layers, agreement, supervisor, "refused")
    merge = KnownMerge(
        task.key,
        planned.teacher_id,
        task.category,
        task.task,
        task.identity,
        ending,
        task.supervised_by is not None,
        attempt,
    )
    merges = (*(each for each in seen.merges if each.merge_key != task.key), merge)
    routes, residents = seen.routes, seen.residents
    if ending is Ending.PUBLISHED:
        task_module = task.teacher_task_module if task.host is None else task.host.task_module
        taught = "" if task.supervised_by is None else task.supervised_by.category
        added = Route(
            task.category,
            task.task,
            task.teacher_category_module,
            None if task.host is None else f"h-{task.key[:8]}",
            str(task_module),
            task.key,
            taught,
        )
        place = (task.category, task.task)
        routes = (*(each for each in routes if (each.category, each.task) != place), added)
        hosts = {resident.host.task_module: resident.host for resident in residents}
        hosts_of = {each.merge_key: hosts.get(each.task_module) for each in routes}
        if task.host is not None:
            hosts_of[task.key] = task.host
        residents = residents_of(routes, lambda key: hosts_of[key])
    return replace(seen, merges=merges, routes=routes, residents=residents)


def pairs(planned: Sequence[PlannedTask]) -> list[tuple[str, Task, bool]]:
    """Return (category, task, whether it brings its own module) of what was planned."""
    return [(entry.task.category, entry.task.task, entry.task.identity) for entry in planned]


def tasks(seen: Situation, policy: PlanPolicy = POLICY) -> tuple[PlannedTask, ...]:
    """Return what is planned."""
    return plan(seen, policy).tasks


def waiting(seen: Situation, policy: PlanPolicy = POLICY) -> tuple[Waiting, ...]:
    """Return what waits."""
    return plan(seen, policy).waiting
