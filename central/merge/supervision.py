"""Step 3 of figure 1: a category learns a task that its own site never taught, from the nearest teacher.

There is no g_T for such a pair, so another category's whole teacher answers synthetic images in its place,
g_n(f_n(I)), and the adapter learns to repeat these answers from the category's own features: g_S(h(f(I))).
That is sound as far as the two categories are alike in this task, which nobody can measure without data of
both: so it is off unless the operator asks for it, the route says by whom it was supervised wherever it is
told of, and the supervising site is the one that validates it, because it alone has data of the task. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from central.merge.attempts import given_up, next_round
from central.merge.hosts import Supervisors
from central.merge.situation import Ending, Plan, PlannedTask, Standing, Waiting
from central.merge.tasks import MergeTask, Supervisor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from central.merge.hosts import Hosts
    from central.merge.learners import Learners
    from central.merge.situation import Attempt, CompleteTeacher, KnownMerge, PlanPolicy, Situation
    from transplant.types import Task


def supervised(situation: Situation, policy: PlanPolicy, hosts: Hosts, learners: Learners) -> Plan:
    """Return merges for the pairs of the net's categories and tasks that no teacher of the category taught.

    Args:
        situation: what there is.
        policy: `supervisors` of it is how many teachers are tried side by side.
        hosts: the resident task modules.
        learners: the operator's settings.
    """
    return _Supervision(situation, policy, hosts, learners).plan()


class _Supervision:
    def __init__(self, situation: Situation, policy: PlanPolicy, hosts: Hosts, learners: Learners) -> None:
        self._situation = situation
        self._policy = policy
        self._hosts = hosts
        self._learners = learners
        self._supervisors = Supervisors(situation, policy)
        self._merges: defaultdict[tuple[str, Task], list[KnownMerge]] = defaultdict(list)
        for merge in situation.merges:
            self._merges[merge.category, merge.task].append(merge)
        self._tasks: list[PlannedTask] = []
        self._waiting: list[Waiting] = []

    def plan(self) -> Plan:
        teachers = {teacher.teacher_id: teacher for teacher in self._situation.teachers}
        routed = {(route.category, route.task) for route in self._situation.routes}
        latest = {route.category: route.category_module for route in self._situation.routes}
        taught = {
            (teacher.category, each.task)
            for teacher in self._situation.teachers
            if teacher.site == self._situation.holder_of(teacher.category)
            for each in teacher.tasks()
        }
        skipped = routed | taught
        for category, category_module in latest.items():
            teacher = teachers.get(category_module)
            for task in self._hosts.tasks():
                if teacher is not None and (category, task) not in skipped:
                    self._pair(teacher, task)
        return Plan(tuple(self._tasks), tuple(self._waiting))

    def _pair(self, teacher: CompleteTeacher, task: Task) -> None:
        merges = self._merges[teacher.category, task]
        endings = {merge.ending for merge in merges}
        if endings & {Ending.OPEN, Ending.PUBLISHED, Ending.CANCELLED}:
            return  # under way; or it was published, and retired since; or its site does not want it
        seam = self._situation.seams[teacher.category_module]
        hosts = self._hosts.fitting(task, seam, "")
        nearest = {each[0].category_module: each for each in self._supervisors.nearest(task, teacher)}
        if not hosts or not nearest:
            lacking = "module" if not hosts else "teacher that shipped its module"
            told = f"no resident {task.value} {lacking} takes a feature map of {seam.height}x{seam.width}"
            self._wait(teacher, task, Standing.NO_HOST, told)
            return
        chosen = next_round(_tried(merges), list(nearest), self._policy.supervisors, self._policy)
        if chosen is None:
            self._wait(teacher, task, Standing.GIVEN_UP, given_up(merges))
            return
        learner = self._learners.resolved(seam, chosen.layers)
        for category_module in chosen.choices:
            nearby, task_module = nearest[category_module]
            planned = MergeTask(
                category=teacher.category,
                task=task,
                site=nearby.site,
                teacher_category_module=teacher.category_module,
                teacher_task_module=task_module,
                host=hosts[0],
                learner=learner,
                supervised_by=Supervisor(nearby.category, category_module),
            )
            self._tasks.append(PlannedTask(teacher.teacher_id, planned))

    def _wait(self, teacher: CompleteTeacher, task: Task, standing: Standing, reason: str) -> None:
        waiting = Waiting(teacher.site, teacher.category, task, standing, reason, supervised=True)
        self._waiting.append(waiting)


def _tried(merges: Sequence[KnownMerge]) -> list[tuple[str, Attempt]]:
    attempts = [merge.attempt for merge in merges if merge.supervised and merge.attempt is not None]
    return [(attempt.supervisor, attempt) for attempt in attempts]
