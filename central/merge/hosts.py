"""Which resident task modules, and which supervising teachers, are worth a merge. Pure.

Whether an adapter into a host succeeds shows only once it is learned: its agreement with the teacher on
held-out synthetic images is the score, so scoring *is* learning. What can be told before is who comes
first: a host must take feature maps of the teacher's size; an equal number of channels is welcome; then
come weights that are like the teacher's (nets tuned from one public net have a cosine far from zero, nets
trained apart have none), then the oldest. At most `LOOKED_AT` are ever compared, so that planning stays
linear in the number of teachers.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from central.merge.situation import Resident
from central.merge.tasks import Host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from central.merge.situation import CompleteTeacher, PlanPolicy, Situation
    from transplant.types import Route, Seam, Task

LOOKED_AT = 32
"""How many candidates are compared for one merge: the oldest that fit."""

_TELLING = 0.2
"""Cosine from which on weights are like each other; fingerprints of strangers scatter by 0.06."""


class Hosts:
    """The resident task modules by task and size of their feature map."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._by_size: defaultdict[tuple[Task, int, int], list[Resident]] = defaultdict(list)
        self._by_task: defaultdict[Task, list[Resident]] = defaultdict(list)
        for resident in situation.residents:
            seam = situation.seams[resident.host.category_module]
            self._by_size[resident.task, seam.height, seam.width].append(resident)
            self._by_task[resident.task].append(resident)

    def count(self, task: Task) -> int:
        """Return how many task modules of a task are resident."""
        return len(self._by_task[task])

    def tasks(self) -> tuple[Task, ...]:
        """Return the tasks that the net answers."""
        return tuple(sorted(task for task, residents in self._by_task.items() if residents))

    def fitting(self, task: Task, seam: Seam, task_module: str) -> tuple[Host, ...]:
        """Return the hosts that take feature maps of this size, most promising first.

        Args:
            task: what they answer.
            seam: of the category module that is to be led into one.
            task_module: g_T, "" where it is not known.
        """
        residents = self._by_size[task, seam.height, seam.width][:LOOKED_AT]
        if len(residents) < 2:
            return tuple(resident.host for resident in residents)
        seams, likeness = self._situation.seams, self._situation.likeness

        def rank(resident: Resident) -> tuple[int, float]:
            host = resident.host
            channels = abs(seams[host.category_module].channels - seam.channels)
            return channels, -_told(likeness, task_module, host.task_module)

        return tuple(resident.host for resident in sorted(residents, key=rank))

    def twin_of(self, task: Task, task_module: str) -> str | None:
        """Return the resident that is the very function of a teacher's task module, if there is one.

        Sites that founded together ship the same bytes, each under an id of its own.
        """
        twins = self._situation.twins
        residents = (resident.host.task_module for resident in self._by_task[task][:LOOKED_AT])
        return next((resident for resident in residents if twins(task_module, resident)), None)

    def nearest_misfit(self, task: Task, seam: Seam) -> tuple[Host, Seam]:
        """Return the host whose feature map is nearest in size, where none fits."""
        seams = self._situation.seams
        hosts = [resident.host for resident in self._by_task[task][:LOOKED_AT]]
        host = min(hosts, key=lambda each: _gap(seam, seams[each.category_module]))
        return host, seams[host.category_module]


class Supervisors:
    """Teachers whose own routes are published, by task and size of their feature map.

    They are asked what they answer to synthetic images, so their site must have shipped the task module.
    """

    def __init__(self, situation: Situation, policy: PlanPolicy) -> None:
        self._situation = situation
        self._policy = policy
        teachers = {teacher.teacher_id: teacher for teacher in situation.teachers}
        self._pool: defaultdict[tuple[Task, int, int], list[tuple[CompleteTeacher, str]]] = defaultdict(list)
        self._of: dict[tuple[Task, int, int, str], tuple[CompleteTeacher, str]] = {}
        for route in situation.routes:
            teacher = teachers.get(route.category_module)
            task_module = None if teacher is None else dict(teacher.task_modules).get(route.task)
            if teacher is not None and task_module is not None and not route.supervised_by:
                seam = situation.seams[teacher.category_module]
                place = (route.task, seam.height, seam.width)
                self._pool[place].append((teacher, task_module))
                self._of[*place, teacher.category] = (teacher, task_module)

    def nearest(self, task: Task, of: CompleteTeacher) -> tuple[tuple[CompleteTeacher, str], ...]:
        """Return teachers of a task with their g_T, nearest to a category first.

        Near is whom the operator calls kin, then who has like weights in f. Among the first of them the one
        is taken whose answers the category's own features can repeat best: what f cannot tell apart,
        no adapter behind it can.
        """
        seam = self._situation.seams[of.category_module]
        place = (task, seam.height, seam.width)
        kin = {other for pair in self._policy.kin if of.category in pair for other in pair}
        related = [self._of[*place, other] for other in sorted(kin) if (*place, other) in self._of]
        looked_at = (related + self._pool[place][:LOOKED_AT])[:LOOKED_AT]
        known = dict.fromkeys(each for each in looked_at if each[0].category != of.category)
        likeness = self._situation.likeness

        def rank(each: tuple[CompleteTeacher, str]) -> tuple[bool, float]:
            teacher = each[0]
            alike = _told(likeness, of.category_module, teacher.category_module)
            return teacher.category not in kin, -alike

        return tuple(sorted(known, key=rank))


def residents_of(routes: Iterable[Route], host_of: Callable[[str], Host]) -> tuple[Resident, ...]:
    """Return the task modules that routes lead into, each once, in the order in which routes first did.

    Args:
        routes: of one version.
        host_of: merge key of a route with an adapter -> where its merge led. A task module stays resident
            while any route leads into it, even where the route that brought it is gone.
    """
    found: dict[str, Resident] = {}
    brought: dict[str, Route] = {}
    for route in routes:
        if route.adapter is None:
            brought.setdefault(route.task_module, route)
    for route in routes:
        if route.task_module in found:
            continue
        own = brought.get(route.task_module)
        if own is None:
            host = host_of(route.merge_key)
        else:
            host = Host(own.category, own.category_module, own.task_module)
        found[route.task_module] = Resident(route.task, host)
    return tuple(found.values())


def _told(likeness: Callable[[str, str], float], one: str, other: str) -> float:
    cosine = likeness(one, other) if one else 0.0
    return cosine if cosine >= _TELLING else 0.0


def _gap(seam: Seam, other: Seam) -> tuple[int, int]:
    return (
        abs(seam.height - other.height) + abs(seam.width - other.width),
        abs(seam.channels - other.channels),
    )
