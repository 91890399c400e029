"""Before the net is founded: who founds it, and what everybody else waits for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.merge.situation import RETRY_COMMAND, Ending, Standing, Waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from central.merge.situation import CompleteTeacher, PlanPolicy, Situation


def founder_of(situation: Situation, policy: PlanPolicy) -> CompleteTeacher | None:
    """Return the teacher that founds the net, or None while it is still awaited.

    A founder's own task modules become the resident ones, so only a teacher that ships them all can found.
    """
    known = {merge.teacher_id for merge in situation.merges}
    for teacher in situation.teachers:
        holds = teacher.site == situation.holder_of(teacher.category)
        named = policy.founder in (None, teacher.category)
        if _whole(teacher) and holds and teacher.teacher_id not in known and named:
            return teacher
    return None


def before_founding(situation: Situation, policy: PlanPolicy) -> Iterator[Waiting]:
    """Yield every task that nothing is planned for until the net is founded, and who can change that."""
    open_ones = {(merge.teacher_id, merge.task) for merge in situation.merges if merge.ending is Ending.OPEN}
    founder = None if open_ones else founder_of(situation, policy)
    reason = _reason(situation, policy, founder)
    for teacher in situation.teachers:
        for each in teacher.tasks():
            if teacher == founder or (teacher.teacher_id, each.task) in open_ones:
                continue
            told = reason if each.task_module else no_module("no founder", teacher)
            yield Waiting(teacher.site, teacher.category, each.task, Standing.AWAITS_FOUNDER, told)


def no_module(lacking: str, teacher: CompleteTeacher) -> str:
    """Say that a site keeps a task module at home which the net would need."""
    return (
        f"the net has {lacking} yet, and site {teacher.site} ships outputs only: another site must "
        "bring one, or this site set ship to modules"
    )


def _reason(situation: Situation, policy: PlanPolicy, founder: CompleteTeacher | None) -> str:
    under_way = next((merge for merge in situation.merges if merge.ending is Ending.OPEN), None)
    category = founder.category if founder else under_way.category if under_way else ""
    if category:
        return f"the net is being founded with {category}: this follows by itself"
    named = [t for t in situation.teachers if policy.founder in (None, t.category)]
    what = f"teacher of {policy.founder}" if policy.founder else "teacher"
    other = f", or serve with another --founder than {policy.founder}" if policy.founder else ""
    tried = [merge for merge in situation.merges if not merge.supervised]
    if tried:
        last = tried[-1]
        why = f": {last.attempt.reason}" if last.attempt is not None and last.attempt.reason else ""
        again = ""
        if last.ending in (Ending.FAILED, Ending.DAMAGED):
            again = f"have it tried once more (`{RETRY_COMMAND} {last.merge_key[:12]}`), "
        return (
            f"the founding with {last.category} of site {_site_of(situation, last.teacher_id)} ended "
            f"{last.ending.value}{why}; {again}let a site bring a newer {what}{other}"
        )
    if named:
        return (
            f"no {what} that is here ships all of its task modules, which the net would be founded with: let "
            f"a site set ship to modules{other}"
        )
    return f"no site has brought a complete {what} to found the net with yet: let one bring it{other}"


def _site_of(situation: Situation, teacher_id: str) -> str:
    return next((t.site for t in situation.teachers if t.teacher_id == teacher_id), "?")


def _whole(teacher: CompleteTeacher) -> bool:
    return all(each.task_module for each in teacher.tasks())
