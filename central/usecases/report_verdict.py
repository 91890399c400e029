"""The owning site tells what it measured for a candidate on its own data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.merge.events import Event, Outdone, VerdictReported
from central.merge.verdicts import (
    checked_verdict,
    closed_percent,
    flat_figures,
    standing_percent,
)
from central.registry.audit_book import Action, actor_of
from central.usecases.plan_merges import move_and_plan
from central.usecases.read_merges import replaced_by
from central.usecases.route_figures import measured_figures
from transplant.errors import MergeNotPossible, NotFound, SignatureInvalid
from transplant.rpc.verdict_signature import check_signature
from transplant.types import MergeState

if TYPE_CHECKING:
    from central.registry.registry import Books
    from central.registry.values import SignedVerdict, StoredMerge
    from central.usecases.center import Center
    from transplant.types import Identity, Verdict


def report_verdict(
    center: Center, caller: Identity, verdict: Verdict, signed: SignedVerdict | None = None
) -> MergeState:
    """Apply gate (remote validation) and return the merge's state. Reporting twice is harmless.

    Args:
        center: ports and policy.
        caller: the site that measured.
        verdict: its figures.
        signed: its signature with the certificate that it called with; None where it sent none.

    Raises:
        NotFound: if the caller owns no such merge.
        SignatureInvalid: if the signature is not of these figures, or is missing where the policy wants one.
        MergeNotPossible: if the merge is not a candidate yet, or the figures cannot be right.
    """
    checked_verdict(verdict)
    with center.registry.write() as books:
        merge = books.merges.get(verdict.merge_key)
        if merge.task.site != caller.name:
            raise NotFound(f"no merge {verdict.merge_key[:80]}")
        _check_signed(center, caller, verdict, signed)
        status = merge.status
        if status.ended or status.accepted:
            return status.state
        if status.state is not MergeState.VALIDATING:
            raise MergeNotPossible(f"this merge is {status.state.value}: there is nothing to validate yet")
        closed, figures = closed_percent(merge.task.task, verdict), flat_figures(verdict)
        now = center.clock.now()
        books.merges.add_verdict(verdict.merge_key, caller.name, closed, figures, now, signed)
        books.audit.append(
            actor_of(caller),
            Action.VERDICT_REPORTED,
            verdict.merge_key,
            closed=closed,
            figures=figures,
            signed=signed is not None,
        )
        if merge.task.refinement:
            event = _beside_the_published(books, merge, closed, figures)
        else:
            event = VerdictReported(closed, figures, _standing(books, merge, verdict))
        after = move_and_plan(center, books, {verdict.merge_key: event})[verdict.merge_key]
    center.bell.ring()
    return after.state


def _beside_the_published(
    books: Books, merge: StoredMerge, closed: float, figures: dict[str, float]
) -> Event:
    """Return what a verdict means for a refined route: the published one that it came from is the measure."""
    base = merge.task.refined_from
    version = books.versions.newest()
    if version is None or all(route.merge_key != base for route in version.routes):
        return Outdone("the route that was refined is not in the net any more")
    return VerdictReported(closed, figures, books.merges.get(base).status.figures.get("closed"))


def _standing(books: Books, merge: StoredMerge, verdict: Verdict) -> float | None:
    """Return what the route closes whose place the candidate would take; None where there is no such measure.

    Another site's route was measured on other data, and is replaced because the operator gave its category
    away; one that another teacher supervised gives way to the category's own.
    """
    route = replaced_by(books.versions.newest(), merge)
    if route is None:
        return None
    old = books.merges.get(route.merge_key)
    if old.task.site != merge.task.site or old.task.supervised_by is not None:
        return None
    measured = measured_figures(books, old)
    standing = standing_percent(merge.task.task, verdict, measured)
    return 100.0 if standing is None and old.task.identity else standing


def _check_signed(center: Center, caller: Identity, verdict: Verdict, signed: SignedVerdict | None) -> None:
    if signed is not None:
        check_signature(verdict, caller.name, signed.signature, signed.certificate)
    elif center.policy.gates.unsigned_verdicts == "refuse":
        raise SignatureInvalid(
            "this center takes signed verdicts only: bring this site's program up to date (or the operator "
            "sets unsigned_verdicts to accept)"
        )
