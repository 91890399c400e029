"""The owning site or an operator does not want a merge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.merge.events import CancelRequested
from central.registry.audit_book import actor_of
from central.usecases.move_merge import move_merge
from central.usecases.read_merges import summary_of, visible_merge
from transplant.errors import MergeNotPossible
from transplant.types import MergeState

if TYPE_CHECKING:
    from central.usecases.center import Center
    from transplant.types import Identity, MergeSummary


def cancel_merge(center: Center, caller: Identity, merge_key: str) -> MergeSummary:
    """Stop a merge that has not ended; cancelling it twice is harmless.

    Raises:
        NotFound: if the caller has no such merge.
        MergeNotPossible: if it has ended otherwise; what is published stays published.
    """
    with center.registry.write() as books:
        visible_merge(books, caller, merge_key)
        event = CancelRequested(actor_of(caller))
        after, _ = move_merge(center, books, merge_key, event, actor=actor_of(caller))
        if after.state is not MergeState.CANCELLED:
            raise MergeNotPossible(f"this merge has ended already: it is {after.state.value}")
        merge = books.merges.get(merge_key)
    center.workshop.bench(merge_key).ask_to_stop()
    center.bell.ring()
    return summary_of(center, merge)
