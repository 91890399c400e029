"""Ask the planner what can be merged now, and record it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.merge.events import LearningFailed
from central.merge.plan import plan
from central.registry.audit_book import CENTRAL, Action
from central.registry.events_book import MERGE_MOVED
from central.usecases.move_merge import move_merge
from central.usecases.situation import situation_of
from transplant.types import MergeState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from central.merge.events import Event
    from central.merge.situation import PlannedTask
    from central.merge.state import MergeStatus
    from central.registry.registry import Books
    from central.usecases.center import Center


def plan_merges(center: Center, books: Books) -> int:
    """Add every merge that has become possible; return how many. Calling it again adds nothing."""
    planned = plan(situation_of(books), center.policy.plan).tasks
    for each in planned:
        _record(center, books, each)
    return len(planned)


def move_and_plan(center: Center, books: Books, events: Mapping[str, Event]) -> dict[str, MergeStatus]:
    """Apply an event to each of some merges; where one is refused, plan what is tried next, all in one go.

    So nobody ever sees a teacher's task refused for good while the center has more to try.

    Args:
        center: ports and policy.
        books: the transaction.
        events: merge key -> what happened.

    Returns:
        Merge key -> its status then.
    """
    after = {key: move_merge(center, books, key, event)[0] for key, event in events.items()}
    if any(status.state is MergeState.REJECTED for status in after.values()):
        plan_merges(center, books)
    return after


def _record(center: Center, books: Books, planned: PlannedTask) -> None:
    task, now = planned.task, center.clock.now()
    books.merges.add(planned, now)
    told = {
        "host": None if task.host is None else task.host.category,
        "supervised_by": None if task.supervised_by is None else task.supervised_by.category,
        "replaces": planned.replaces or None,
    }
    about = {name: value for name, value in told.items() if value is not None}
    books.audit.append(CENTRAL, Action.MERGE_PLANNED, task.key, teacher=planned.teacher_id, **about)
    books.events.add(MERGE_MOVED, task.key, now, category=task.category, detail=MergeState.PLANNED.value)
    if planned.refusal:
        move_merge(center, books, task.key, LearningFailed(planned.refusal))
