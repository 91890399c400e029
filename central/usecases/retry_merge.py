"""A merge that ended without a judgement gets another chance, because somebody asked for it.

Nothing here happens by itself: a failure that repeats itself would be learned for ever, and a site that never
answers be asked for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.merge.events import RequestedAgain, SiteReturned, TimePassed
from central.registry.audit_book import CONSOLE
from central.usecases.move_merge import move_merge
from central.usecases.read_merges import merge_named
from transplant.errors import MergeNotPossible
from transplant.types import MergeState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from central.merge.events import Event
    from central.registry.registry import Books
    from central.registry.values import StoredMerge
    from central.usecases.center import Center


def retry_merge(center: Center, name: str) -> StoredMerge:
    """Do for an operator what `try_again` and `ask_again` do for a site, for one merge of anybody's.

    What was accepted and kept from its publication is published after all, if the net lets it now.

    Args:
        center: ports and policy.
        name: the merge's key, or its first characters.

    Raises:
        NotFound: if there is no such merge, or there are several.
        MergeNotPossible: if nothing about it can be repeated.
    """
    with center.registry.write() as books:
        merge = merge_named(books, name)
        again: Event = RequestedAgain()
        if _unanswered(books, merge):
            again = SiteReturned(center.clock.now())
        elif merge.status.state is MergeState.FAILED and not _began(books, merge):
            raise MergeNotPossible(f"it never fitted: {merge.status.reason}")
        after, _ = move_merge(center, books, merge.task.key, again, actor=CONSOLE)
        if after == merge.status:
            raise MergeNotPossible(
                f"this merge is {after.state.value}{f' ({after.reason})' if after.reason else ''}: what "
                "failed can be tried again, what its site did not answer in time asked about again"
            )
        merge = books.merges.get(merge.task.key)
    center.bell.ring()
    return merge


def try_again(center: Center, books: Books, merges: Iterable[StoredMerge], actor: str) -> None:
    """Have a teacher's failed merges tried once more: not what never fitted, nor what others teach."""
    for merge in merges:
        failed = merge.status.state is MergeState.FAILED and merge.task.supervised_by is None
        if failed and _began(books, merge):
            move_merge(center, books, merge.task.key, RequestedAgain(), actor=actor)


def ask_again(center: Center, books: Books, merges: Sequence[StoredMerge], actor: str) -> None:
    """Ask a site that is there again for the verdicts that it did not give in time.

    Of several candidates for one task the best is asked about, and none while another one is under way.

    Args:
        center: ports and policy.
        books: the transaction.
        merges: all of one teacher.
        actor: who is there again.
    """
    best: dict[tuple[str, str], StoredMerge] = {}
    busy: set[tuple[str, str]] = set()
    for merge in merges:
        place = (merge.task.task.value, merge.task.refined_from)
        if merge.task.supervised_by is not None:
            continue  # another site's to judge: it says by itself that it is there, or the operator does
        if not merge.status.ended or merge.status.state is MergeState.PUBLISHED:
            busy.add(place)
        elif _unanswered(books, merge) and (place not in best or _agreement(merge) > _agreement(best[place])):
            best[place] = merge
    for place, merge in best.items():
        if place not in busy:
            now = center.clock.now()
            move_merge(center, books, merge.task.key, SiteReturned(now), actor=actor)


def _unanswered(books: Books, merge: StoredMerge) -> bool:
    status = merge.status
    if status.state is not MergeState.REJECTED or status.accepted or not status.unanswered:
        return False
    return books.merges.transitions(merge.task.key)[-1].event == TimePassed.__name__


def _began(books: Books, merge: StoredMerge) -> bool:
    return books.merges.transitions(merge.task.key)[-1].from_state != MergeState.PLANNED.value


def _agreement(merge: StoredMerge) -> float:
    return merge.status.figures.get("agreement", 0.0)
