"""The owning site tells what it measured for a candidate on its own data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.merge.events import VerdictReported
from central.merge.verdicts import checked_verdict, closed_percent, flat_figures
from central.registry.audit_book import Action, actor_of
from central.usecases.move_merge import move_merge
from transplant.errors import MergeNotPossible, NotFound
from transplant.types import MergeState

if TYPE_CHECKING:
    from central.usecases.center import Center
    from transplant.types import Identity, Verdict


def report_verdict(center: Center, caller: Identity, verdict: Verdict) -> MergeState:
    """Apply gate (remote validation) and return the merge's state. Reporting twice is harmless.

    Raises:
        NotFound: if the caller owns no such merge.
        MergeNotPossible: if the merge is not a candidate yet, or the figures cannot be right.
    """
    checked_verdict(verdict)
    with center.registry.write() as books:
        merge = books.merges.get(verdict.merge_key)
        if merge.task.site != caller.name:
            raise NotFound(f"no merge {verdict.merge_key[:80]}")
        status = merge.status
        if status.ended or status.accepted:
            return status.state
        if status.state is not MergeState.VALIDATING:
            raise MergeNotPossible(f"this merge is {status.state.value}: there is nothing to validate yet")
        closed, figures = closed_percent(merge.task.task, verdict), flat_figures(verdict)
        books.merges.add_verdict(verdict.merge_key, caller.name, closed, figures, center.clock.now())
        books.audit.append(
            actor_of(caller), Action.VERDICT_REPORTED, verdict.merge_key, closed=closed, figures=figures
        )
        after, _ = move_merge(center, books, verdict.merge_key, VerdictReported(closed, figures))
    center.bell.ring()
    return after.state
