"""The planner: which (category, task) pairs of which teachers become merge tasks. Pure.

Growth follows figure 1 of arXiv 1901.06978. The first teacher founds the net: its own task modules become
the resident g_S. Each later teacher's tasks are led into resident g_S of the same task (step 1, where a
known teacher brings one more task, and step 2); a task that no resident answers is brought along, with its
own task module and the identity as h. Where a teacher's task module is a resident one in all but its name
(sites that founded together, `transplant-central found`), the identity leads into that. Step 3 connects what
is in the net already: where the operator lets it, a category whose site never taught a task learns it from
the nearest teacher of another category (`central.merge.supervision`).

A teacher is led into several hosts side by side, and the best agreement goes on. After a refusal come the
next hosts, then a larger adapter, and then the task is given up, with all figures kept. A site's newer
teacher is planned beside its published one and takes its place when it is published in turn.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from central.merge.attempts import finality, given_up, next_round
from central.merge.founding import before_founding, founder_of, no_module
from central.merge.hosts import Hosts
from central.merge.learners import Learners
from central.merge.situation import (
    CLAIM_COMMAND,
    CompleteTeacher,
    Ending,
    KnownMerge,
    Plan,
    PlannedTask,
    PlanPolicy,
    Situation,
    Standing,
    TeacherTask,
    Waiting,
)
from central.merge.supervision import supervised
from central.merge.tasks import Host, MergeTask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from transplant.types import Seam, Task

    Offer = tuple[CompleteTeacher, TeacherTask]


def plan(situation: Situation, policy: PlanPolicy) -> Plan:
    """Return the merges to add now; called again after every change, it adds none once all is planned."""
    if not situation.routes:
        return Plan(tuple(_founding(situation, policy)), tuple(before_founding(situation, policy)))
    growth = _Growth(situation, policy)
    growth.grow()
    if policy.supervisors:
        found = supervised(situation, policy, growth.hosts, growth.learners)
        return Plan((*growth.tasks, *found.tasks), (*growth.waiting, *found.waiting))
    return Plan(tuple(growth.tasks), tuple(growth.waiting))


def _founding(situation: Situation, policy: PlanPolicy) -> Iterator[PlannedTask]:
    if any(merge.ending is Ending.OPEN for merge in situation.merges):
        return  # the founding is under way
    founder = founder_of(situation, policy)
    if founder is not None:
        for each in founder.tasks():
            yield PlannedTask(founder.teacher_id, _merge_task(founder, each, None, ""))


class _Growth:
    """One run of the planner behind the founding; it fills `tasks` and `waiting`."""

    def __init__(self, situation: Situation, policy: PlanPolicy) -> None:
        self._situation = situation
        self._policy = policy
        self.hosts = Hosts(situation)
        self.learners = Learners(policy.learner)
        self.tasks: list[PlannedTask] = []
        self.waiting: list[Waiting] = []
        self._routed = {(route.category, route.task): route for route in situation.routes}
        self._merges: defaultdict[tuple[str, Task], list[KnownMerge]] = defaultdict(list)
        for merge in situation.merges:
            self._merges[merge.category, merge.task].append(merge)
        self._bringing = Counter(
            merge.task for merge in situation.merges if merge.identity and merge.ending is Ending.OPEN
        )

    def grow(self) -> None:
        """Look at every task of every complete teacher."""
        for category, teachers in self._situation.claims.items():
            holder = self._situation.holder_of(category)
            offers: defaultdict[Task, list[Offer]] = defaultdict(list)
            for teacher in teachers:
                if teacher.site != holder:
                    self._claim(teacher, holder)
                    continue
                for each in teacher.tasks():
                    offers[each.task].append((teacher, each))
            for task in sorted(offers):
                self._pair(category, task, offers[task])

    def _claim(self, teacher: CompleteTeacher, holder: str) -> None:
        """Two sites bring one category: both teachers are kept, the operator says whose routes there are."""
        category = teacher.category
        if category in self._situation.holders:
            standing, told = Standing.DECLINED, f"the operator gave {category} to site {holder}"
        else:
            standing, told = Standing.CONTESTED, f"site {holder} brought {category} first; both are kept"
        reason = f"{told}: `{CLAIM_COMMAND} {category} --site {teacher.site}` would give it to this site"
        for each in teacher.tasks():
            self.waiting.append(Waiting(teacher.site, category, each.task, standing, reason))

    def _pair(self, category: str, task: Task, offers: Sequence[Offer]) -> None:
        """Plan for the first teacher that was never tried, else go on with the newest.

        An older teacher's refusals are not followed up once there is a newer one, and what is older than
        a published one is never looked at again: retired is retired.
        """
        merges = self._merges[category, task]
        if any(merge.ending is Ending.OPEN for merge in merges):
            return
        of_teacher: defaultdict[str, list[KnownMerge]] = defaultdict(list)
        for merge in merges:
            if not merge.supervised:
                of_teacher[merge.teacher_id].append(merge)
        left = list(offers)
        route = self._routed.get((category, task))
        answering = "" if route is None or route.supervised_by else route.category_module
        for place, (teacher, _) in enumerate(offers):
            endings = {merge.ending for merge in of_teacher[teacher.teacher_id]}
            if Ending.PUBLISHED in endings or teacher.category_module == answering:
                left = list(offers[place + 1 :])
        for place, (teacher, each) in enumerate(left):
            own, last = of_teacher[teacher.teacher_id], place == len(left) - 1
            if (last or not own) and self._attempt(teacher, each, own, tell=last):
                return

    def _attempt(
        self, teacher: CompleteTeacher, each: TeacherTask, own: Sequence[KnownMerge], *, tell: bool
    ) -> bool:
        """Plan the next attempts of one teacher's task; return whether there are any.

        Args:
            teacher: whose.
            each: which of its tasks.
            own: its merges so far.
            tell: whether it is worth telling why there is none.
        """
        ended = finality(own)
        if ended is None:
            brought = self._bring_along(teacher, each, own)
            if brought is not None:
                return brought
            ended = self._lead(teacher, each, own, refuse=tell)
        if ended is None:
            return True
        standing, reason = ended
        if tell:
            self.waiting.append(Waiting(teacher.site, teacher.category, each.task, standing, reason))
        return False

    def _bring_along(
        self, teacher: CompleteTeacher, each: TeacherTask, own: Sequence[KnownMerge]
    ) -> bool | None:
        """Plan the teacher's own task module as a resident one; None where it is to be led into others."""
        there = self.hosts.count(each.task)
        room = max(1, self._policy.residents) - there - self._bringing[each.task]
        fresh = not own and (teacher.category, each.task) not in self._routed
        twin = None if each.task_module is None else self.hosts.twin_of(each.task, each.task_module)
        if fresh and twin is not None:
            # Its site measured this very route when it trained it: nothing is to be learned or judged.
            self._add(teacher, _merge_task(teacher, replace(each, task_module=twin), None, ""))
            return True
        if room > 0 and fresh and each.task_module is not None:
            self._bringing[each.task] += 1
            self._add(teacher, _merge_task(teacher, each, None, ""))
            return True
        if there:
            return None
        # Until somebody's module is resident there is nothing to lead into.
        if each.task_module is None:
            reason = no_module(f"no {each.task.value} module", teacher)
            self._wait(teacher, each, Standing.AWAITS_MODULE, reason)
        elif own:
            self._wait(teacher, each, Standing.GIVEN_UP, given_up(own))
        return False

    def _lead(
        self, teacher: CompleteTeacher, each: TeacherTask, own: Sequence[KnownMerge], *, refuse: bool
    ) -> tuple[Standing, str] | None:
        """Plan adapters into resident task modules; return why not, where there is nothing left to try."""
        seam = self._situation.seams[teacher.category_module]
        hosts = {
            host.task_module: host for host in self.hosts.fitting(each.task, seam, each.task_module or "")
        }
        if not hosts:
            return self._refuse(teacher, each, own, seam, refuse=refuse)
        attempts = [merge.attempt for merge in own if merge.attempt and merge.ending is not Ending.UNFIT]
        tried = [(attempt.host.task_module, attempt) for attempt in attempts if attempt.host is not None]
        chosen = next_round(tried, list(hosts), self._policy.hosts_at_once, self._policy)
        if chosen is None:
            return Standing.GIVEN_UP, given_up(own)
        learner = self.learners.resolved(seam, chosen.layers)
        for task_module in chosen.choices:
            self._add(teacher, self._led(teacher, each, hosts[task_module], learner))
        return None

    def _refuse(
        self,
        teacher: CompleteTeacher,
        each: TeacherTask,
        own: Sequence[KnownMerge],
        seam: Seam,
        *,
        refuse: bool,
    ) -> tuple[Standing, str]:
        """Record once that no host fits: the site sees a merge that ended and why, and need not wait."""
        host, its = self.hosts.nearest_misfit(each.task, seam)
        reason = (
            f"the teacher's seam is {seam}, and no resident {each.task.value} module takes a feature map of "
            f"{seam.height}x{seam.width} (the nearest takes {its}); the operator can let it bring its own "
            "(residents)"
        )
        if refuse and not own:
            task = self._led(teacher, each, host, self.learners.resolved(seam))
            self._add(teacher, task, refusal=reason)
        return Standing.NO_HOST, reason

    def _led(self, teacher: CompleteTeacher, each: TeacherTask, host: Host, learner: str) -> MergeTask:
        """Return a task that learns an adapter, on public images where the operator gave some.

        What a site answered, where it keeps g_T at home, is about other images.
        """
        task = _merge_task(teacher, each, host, learner)
        asked = each.task_module is not None and self.learners.takes_public_images
        return replace(task, proxy=self._policy.proxy) if asked and self._policy.proxy else task

    def _add(self, teacher: CompleteTeacher, task: MergeTask, refusal: str = "") -> None:
        route = self._routed.get((task.category, task.task))
        replaces = "" if route is None else route.merge_key
        self.tasks.append(PlannedTask(teacher.teacher_id, task, refusal, replaces))

    def _wait(self, teacher: CompleteTeacher, each: TeacherTask, standing: Standing, reason: str) -> None:
        self.waiting.append(Waiting(teacher.site, teacher.category, each.task, standing, reason))


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
