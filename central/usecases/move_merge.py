"""Feed one event to one merge: the new status, its record and the news of it, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.merge.state import step
from central.registry.audit_book import CENTRAL, Action
from central.registry.events_book import MERGE_MOVED
from transplant.types import MergeState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from central.merge.commands import Command
    from central.merge.events import Event
    from central.merge.state import MergeStatus
    from central.registry.registry import Books
    from central.usecases.center import Center


def move_merge(
    center: Center, books: Books, merge_key: str, event: Event, *, actor: str = CENTRAL
) -> tuple[MergeStatus, tuple[Command, ...]]:
    """Apply `event` within the caller's transaction; ring the bell once that is committed.

    Args:
        center: ports and policy.
        books: the transaction.
        merge_key: which merge.
        event: what happened.
        actor: who made it happen, for the audit log.

    Raises:
        NotFound: if there is no such merge.
    """
    merge = books.merges.get(merge_key)
    after, commands = step(merge.status, event, center.policy.gates)
    if after != merge.status:
        now = center.clock.now()
        name = type(event).__name__
        books.merges.move(merge.status, after, name, now)
        action = Action.MERGE_CANCELLED if after.state is MergeState.CANCELLED else Action.MERGE_MOVED
        steps = [merge.status.state.value, after.state.value]
        books.audit.append(actor, action, merge_key, event=name, states=steps, reason=after.reason)
        if after.state != merge.status.state:
            books.events.add(
                MERGE_MOVED, merge_key, now, category=merge.task.category, detail=after.state.value
            )
    return after, commands


def feed(center: Center, merge_key: str, event: Event) -> tuple[MergeStatus, tuple[Command, ...]]:
    """Apply `event` in a transaction of its own."""
    with center.registry.write() as books:
        result = move_merge(center, books, merge_key, event)
    center.bell.ring()
    return result


def feed_all(center: Center, merge_keys: Iterable[str], event: Event) -> None:
    """Apply one event to several merges in one transaction."""
    with center.registry.write() as books:
        for merge_key in merge_keys:
            move_merge(center, books, merge_key, event)
    center.bell.ring()
