"""The planner: which (category, task) pairs of which teachers become merge tasks. Pure.

Growth follows figure 1 of arXiv 1901.06978. The first teacher founds the net: its own task modules
become the resident g_S. Each later teacher's tasks are led into the resident g_S of the same task;
a task that no resident answers is brought along, with its own task module and the identity as h.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from central.merge.tasks import Host, MergeTask, learner_document
from transplant.nets.learner_profile import image_px_of, with_profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from transplant.types import Route, Seam, Task


@dataclass(frozen=True)
class CompleteTeacher:
    """A teacher net whose site said that everything of it that will come is here.

    A site that keeps a task module at home has answered a probe instead: that task stands in `answers`.
    """

    teacher_id: str
    site: str
    category: str
    category_module: str
    task_modules: tuple[tuple[Task, str], ...]
    answers: tuple[tuple[Task, str], ...] = ()
    statistics: str | None = None

    def tasks(self) -> tuple[TeacherTask, ...]:
        """Return what it can teach; where a task has both, the module serves."""
        modules, answers = dict(self.task_modules), dict(self.answers)
        return tuple(
            TeacherTask(task, modules.get(task), None if task in modules else answers[task])
            for task in sorted(modules.keys() | answers.keys())
        )


@dataclass(frozen=True)
class TeacherTask:
    """One task of a teacher: the id of its task module, or of the answers that stand for it."""

    task: Task
    task_module: str | None
    answers: str | None


@dataclass(frozen=True)
class Waiting:
    """A task of a complete teacher that no merge can be planned for yet, and why."""

    site: str
    category: str
    task: Task
    reason: str


@dataclass(frozen=True)
class KnownMerge:
    """A merge that exists already, in whatever state."""

    teacher_id: str
    category: str
    task: Task
    identity: bool
    ended: bool


@dataclass(frozen=True)
class Situation:
    """All that the planner looks at.

    Attributes:
        teachers: complete teachers, in the order in which they were requested.
        routes: the newest version's routes, oldest first; empty before the founding.
        merges: every merge ever planned.
        seams: seam of each category module of `teachers` and `routes`.
    """

    teachers: tuple[CompleteTeacher, ...]
    routes: tuple[Route, ...]
    merges: tuple[KnownMerge, ...]
    seams: Mapping[str, Seam]


@dataclass(frozen=True)
class PlanPolicy:
    """The operator's choices: who founds the net (None: the first teacher), how adapters are learned.

    `learner` is canonical JSON of settings; those that follow the image size may be left out, and stand in
    the task of every merge as they were resolved for its teacher (`transplant.nets.learner_profile`).
    """

    founder: str | None = None
    learner: str = ""


@dataclass(frozen=True)
class PlannedTask:
    """A new merge; `refusal` says why it can never start (it is then recorded as failed)."""

    teacher_id: str
    task: MergeTask
    refusal: str = ""


@dataclass
class _Draft:
    """The plan while it grows, so that one run never plans the same new task module twice."""

    situation: Situation
    policy: PlanPolicy
    brought_along: set[Task] = field(default_factory=set["Task"])
    busy: set[tuple[str, Task]] = field(default_factory=set["tuple[str, Task]"])


def plan(situation: Situation, policy: PlanPolicy) -> tuple[PlannedTask, ...]:
    """Return the merges to add now; called again after every change, it returns () once all is planned."""
    if not situation.routes:
        return tuple(_founding(situation, policy))
    open_merges = [merge for merge in situation.merges if not merge.ended]
    draft = _Draft(
        situation,
        policy,
        brought_along={merge.task for merge in open_merges if merge.identity},
        busy={(merge.category, merge.task) for merge in open_merges},
    )
    draft.busy |= {(route.category, route.task) for route in situation.routes}
    return tuple(_growth(draft))


def founder_of(teachers: Iterable[CompleteTeacher], policy: PlanPolicy) -> CompleteTeacher | None:
    """Return the teacher that founds the net, or None while it is still awaited.

    A founder's own task modules become the resident ones, so only a teacher that ships them all can found.
    """
    whole = (t for t in teachers if all(each.task_module for each in t.tasks()))
    return next((t for t in whole if policy.founder in (None, t.category)), None)


def waiting(situation: Situation) -> tuple[Waiting, ...]:
    """Return what cannot be merged yet because its site ships answers instead of task modules."""
    known = {(merge.teacher_id, merge.task) for merge in situation.merges}
    resident = {route.task for route in situation.routes if route.adapter is None}
    found: list[Waiting] = []
    for teacher in situation.teachers:
        for each in teacher.tasks():
            if each.task_module or each.task in resident or (teacher.teacher_id, each.task) in known:
                continue
            lacking = f"no {each.task.value} module" if situation.routes else "no founder"
            reason = (
                f"the net has {lacking} yet, and site {teacher.site} ships outputs only: another site must "
                "bring one, or this site set ship to modules"
            )
            found.append(Waiting(teacher.site, teacher.category, each.task, reason))
    return tuple(found)


def _founding(situation: Situation, policy: PlanPolicy) -> Iterator[PlannedTask]:
    if any(not merge.ended for merge in situation.merges):
        return  # the founding is under way
    known = {merge.teacher_id for merge in situation.merges}
    founder = founder_of((t for t in situation.teachers if t.teacher_id not in known), policy)
    if founder is None:
        return
    for each in founder.tasks():
        yield PlannedTask(founder.teacher_id, _merge_task(founder, each, None, ""))


def _growth(draft: _Draft) -> Iterator[PlannedTask]:
    known = {(merge.teacher_id, merge.task) for merge in draft.situation.merges}
    for teacher in draft.situation.teachers:
        for each in teacher.tasks():
            if (teacher.teacher_id, each.task) in known or (teacher.category, each.task) in draft.busy:
                continue
            planned = _pair(draft, teacher, each)
            if planned is not None:
                if not planned.refusal:
                    draft.busy.add((teacher.category, each.task))
                yield planned


def _pair(draft: _Draft, teacher: CompleteTeacher, each: TeacherTask) -> PlannedTask | None:
    task = each.task
    residents = [route for route in draft.situation.routes if route.task == task and route.adapter is None]
    if not residents:
        if task in draft.brought_along or each.task_module is None:
            return None  # another teacher is bringing this task along, or must: wait for it to be resident
        draft.brought_along.add(task)
        return PlannedTask(teacher.teacher_id, _merge_task(teacher, each, None, ""))
    seam = draft.situation.seams[teacher.category_module]
    hosts = sorted(residents, key=lambda route: _distance(seam, draft.situation.seams[route.category_module]))
    best = hosts[0]
    host = Host(best.category, best.category_module, best.task_module)
    host_seam = draft.situation.seams[best.category_module]
    refusal = ""
    if (host_seam.height, host_seam.width) != (seam.height, seam.width):
        refusal = (
            f"the teacher's seam is {seam}, and no resident {task.value} module takes a feature map of "
            f"{seam.height}x{seam.width} (the nearest takes {host_seam})"
        )
    merge_task = _merge_task(teacher, each, host, _resolved(draft.policy.learner, seam))
    return PlannedTask(teacher.teacher_id, merge_task, refusal)


def _distance(seam: Seam, other: Seam) -> tuple[int, int]:
    """Rank hosts: an equal map size is a must, an equal number of channels is welcome, then the oldest."""
    return (
        abs(seam.height - other.height) + abs(seam.width - other.width),
        abs(seam.channels - other.channels),
    )


def _resolved(learner: str, seam: Seam) -> str:
    """Return the settings of a merge at this seam: a task holds numbers, so that its key is their digest."""
    return learner_document(with_profile(json.loads(learner or "{}"), image_px_of(seam)))


def _merge_task(teacher: CompleteTeacher, each: TeacherTask, host: Host | None, learner: str) -> MergeTask:
    return MergeTask(
        category=teacher.category,
        task=each.task,
        site=teacher.site,
        teacher_category_module=teacher.category_module,
        teacher_task_module=each.task_module,
        host=host,
        learner=learner if host is not None else "",
        statistics=teacher.statistics if host is not None else None,
        answers=each.answers,
    )
