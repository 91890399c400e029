r"""The life cycle of one merge as a pure function: (status, event) -> (status, commands).

    PLANNED -> LEARNING -> CANDIDATE -> VALIDATING -> PUBLISHED
                                  \-> REJECTED <-/        (CANCELLED and FAILED from any open state)

Of what has ended, a failure may be tried again, a silent site asked again, and what was accepted and kept
from its publication published after all; each only because somebody asked for it, never by itself.

Commands follow from the status alone (`outstanding`), so a center that was killed between a transition
and its command finds the command again; every command is harmless when it is executed twice.
An event that does not fit the state (late, doubled, out of order) changes nothing. No I/O, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from central.merge.commands import (
    AwaitVerdict,
    CheckCandidate,
    Command,
    KeepLearning,
    PublishRoute,
    StartWhenFree,
    StopLearning,
)
from central.merge.events import (
    AdapterLearned,
    CancelRequested,
    CenterReturned,
    EngineMissed,
    EngineReady,
    Event,
    GatesFailed,
    GatesPassed,
    LearningFailed,
    Outdone,
    PublicationPostponed,
    PublicationRefused,
    RequestedAgain,
    SiteReturned,
    TimePassed,
    VerdictReported,
    VersionPublished,
    WorkerDied,
)
from transplant.types import MergeState

_UNJUDGED = "published without the site's verdict"

ENDED = frozenset({MergeState.PUBLISHED, MergeState.REJECTED, MergeState.CANCELLED, MergeState.FAILED})


@dataclass(frozen=True)
class GatePolicy:
    """When a candidate is good enough.

    Attributes:
        minimum_agreement: percent of held-out synthetic samples on which the candidate must answer as
            the teacher does (gate 1, data-free).
        minimum_closed: percent of the way from the floor to the teacher that the candidate must close
            on the owning site's data (gate 3).
        deadline_s: how long the owning site may take for its verdict.
        after_deadline: what happens to a candidate without a verdict; one that would take the place of a
            published route is never published without.
        attempts: how often a merge is started before its worker's deaths count as a failure.
        replacement_tolerance: by how many percent of that way a site's newer route may close less than the
            published one that it takes the place of; a refined route may not at all.
        unsigned_verdicts: what happens to a verdict without a signature (sites of earlier releases do not
            sign): it is refused with a message that says so, or counts and is marked as unsigned.
    """

    minimum_agreement: float = 60.0
    minimum_closed: float = 50.0
    deadline_s: float = 3600.0
    after_deadline: Literal["reject", "publish"] = "reject"
    attempts: int = 3
    replacement_tolerance: float = 5.0
    unsigned_verdicts: Literal["refuse", "accept"] = "refuse"


@dataclass(frozen=True)
class MergeStatus:
    """Where one merge stands. `accepted`: the site's gate is passed, only the publication is missing.

    `refined`: its adapter comes from a published one, which stays unless the site finds it no worse.
    """

    merge_key: str
    identity: bool
    state: MergeState = MergeState.PLANNED
    adapter: str | None = None
    figures: dict[str, float] = field(default_factory=dict[str, float])
    reason: str = ""
    attempts: int = 0
    accepted: bool = False
    deadline: datetime | None = None
    version_number: int = 0
    refined: bool = False

    @property
    def ended(self) -> bool:
        """Tell whether nothing will happen to this merge any more."""
        return self.state in ENDED

    @property
    def unanswered(self) -> bool:
        """Tell whether its site was asked for a verdict and has given none."""
        return self.deadline is not None and "closed" not in self.figures


def outstanding(status: MergeStatus) -> tuple[Command, ...]:
    """Return what has to be done for a merge in this status."""
    match status.state:
        case MergeState.PLANNED:
            return (StartWhenFree(status.merge_key),)
        case MergeState.LEARNING:
            return (KeepLearning(status.merge_key),)
        case MergeState.CANDIDATE if status.accepted:
            return (PublishRoute(status.merge_key),)
        case MergeState.CANDIDATE:
            return (CheckCandidate(status.merge_key),)
        case MergeState.VALIDATING if status.accepted:
            return (PublishRoute(status.merge_key),)
        case MergeState.VALIDATING if status.deadline is not None:
            return (AwaitVerdict(status.merge_key, status.deadline),)
        case _:
            return ()


def step(status: MergeStatus, event: Event, policy: GatePolicy) -> tuple[MergeStatus, tuple[Command, ...]]:
    """Apply one event; an event that does not fit leaves the status as it is and commands nothing."""
    after = _after(status, event, policy)
    if after == status:
        return status, ()
    commands = outstanding(after)
    if status.state == MergeState.LEARNING and after.ended:
        commands = (StopLearning(status.merge_key), *commands)
    return after, commands


def _after(status: MergeStatus, event: Event, policy: GatePolicy) -> MergeStatus:
    if isinstance(event, CancelRequested) and not status.ended:
        return replace(status, state=MergeState.CANCELLED, reason=f"cancelled by {event.by}")
    match status.state:
        case MergeState.PLANNED:
            return _after_planned(status, event)
        case MergeState.LEARNING:
            return _after_learning(status, event, policy)
        case MergeState.CANDIDATE:
            return _after_candidate(status, event, policy)
        case MergeState.VALIDATING:
            return _after_validating(status, event, policy)
        case MergeState.FAILED if isinstance(event, RequestedAgain):
            return replace(status, state=MergeState.PLANNED, reason="", attempts=0)
        case MergeState.REJECTED:
            return _after_rejected(status, event, policy)
        case _:
            return status


def _after_rejected(status: MergeStatus, event: Event, policy: GatePolicy) -> MergeStatus:
    match event:
        case RequestedAgain() if status.accepted:
            state = MergeState.CANDIDATE if status.identity else MergeState.VALIDATING
            return replace(status, state=state, reason="")
        case SiteReturned(at=at) if not status.accepted and status.unanswered:
            return replace(status, state=MergeState.VALIDATING, reason="", deadline=_deadline(at, policy))
        case _:
            return status


def _deadline(at: datetime, policy: GatePolicy) -> datetime:
    return at + timedelta(seconds=policy.deadline_s)


def _after_planned(status: MergeStatus, event: Event) -> MergeStatus:
    match event:
        case EngineReady():
            state = MergeState.CANDIDATE if status.identity else MergeState.LEARNING
            return replace(status, state=state, reason="")
        case EngineMissed(reason=reason):
            return replace(status, reason=reason)
        case LearningFailed(reason=reason):
            return replace(status, state=MergeState.FAILED, reason=reason)
        case _:
            return status


def _after_learning(status: MergeStatus, event: Event, policy: GatePolicy) -> MergeStatus:
    match event:
        case AdapterLearned(adapter=adapter, figures=figures):
            return replace(status, state=MergeState.CANDIDATE, adapter=adapter, figures=figures, reason="")
        case EngineMissed(reason=reason):
            return replace(status, state=MergeState.PLANNED, reason=reason)
        case WorkerDied(reason=reason):
            attempts = status.attempts + 1
            if attempts >= policy.attempts:
                reason = f"the worker died {attempts} times, the last time: {reason}"
                return replace(status, state=MergeState.FAILED, attempts=attempts, reason=reason)
            return replace(status, state=MergeState.PLANNED, attempts=attempts, reason=reason)
        case LearningFailed(reason=reason):
            return replace(status, state=MergeState.FAILED, reason=reason)
        case _:
            return status


def _after_candidate(status: MergeStatus, event: Event, policy: GatePolicy) -> MergeStatus:
    match event:
        case PublicationPostponed(reason=reason) if status.accepted:
            return replace(status, reason=reason)
        case GatesPassed() if status.identity:
            return replace(status, accepted=True)  # the teacher itself: no site needs to measure it again
        case GatesPassed(at=at):
            return _gate_on_agreement(status, at, policy)
        case GatesFailed(reason=reason) | PublicationRefused(reason=reason):
            return replace(status, state=MergeState.REJECTED, reason=reason)
        case Outdone(reason=reason) if not status.accepted:
            return replace(status, state=MergeState.REJECTED, reason=reason)
        case VersionPublished(number=number) if status.accepted:
            return _published(status, number)
        case _:
            return status


def _gate_on_agreement(status: MergeStatus, at: datetime, policy: GatePolicy) -> MergeStatus:
    agreement = status.figures.get("agreement")
    if agreement is None or not agreement >= policy.minimum_agreement:
        told = "unknown" if agreement is None else f"{agreement:.1f} %"
        reason = (
            f"data-free agreement with the teacher is {told}, the policy asks {policy.minimum_agreement:g} %"
        )
        return replace(status, state=MergeState.REJECTED, reason=reason)
    return replace(status, state=MergeState.VALIDATING, deadline=_deadline(at, policy))


def _published(status: MergeStatus, number: int) -> MergeStatus:
    unjudged = not status.identity and status.unanswered
    reason = _UNJUDGED if unjudged else ""
    return replace(status, state=MergeState.PUBLISHED, version_number=number, reason=reason)


def _after_validating(status: MergeStatus, event: Event, policy: GatePolicy) -> MergeStatus:
    match event:
        case PublicationPostponed(reason=reason) if status.accepted:
            return replace(status, reason=reason)
        case VerdictReported(closed=closed, figures=figures, standing=standing) if not status.accepted:
            merged = {**status.figures, **figures, "closed": closed}
            slack = 0.0 if status.refined else policy.replacement_tolerance
            if standing is not None and not closed >= standing - slack:
                reason = (
                    f"on the site's data the route closes {closed:.1f} % of the way from the floor to the "
                    f"teacher, and {standing:.1f} % as it is published: that one stays"
                )
                return replace(status, state=MergeState.REJECTED, figures=merged, reason=reason)
            if closed >= policy.minimum_closed:
                return replace(status, accepted=True, figures=merged)
            reason = (
                f"on the site's data the route closes {closed:.1f} % of the way from the floor to the "
                f"teacher, the policy asks {policy.minimum_closed:g} %"
            )
            return replace(status, state=MergeState.REJECTED, figures=merged, reason=reason)
        case CenterReturned(away_s=away_s) if not status.accepted and status.deadline is not None:
            return replace(status, deadline=status.deadline + timedelta(seconds=away_s))
        case TimePassed(at=at, replaces=replaces) if (
            not status.accepted and status.deadline is not None and at >= status.deadline
        ):
            if policy.after_deadline == "publish" and not (status.refined or replaces):
                return replace(status, accepted=True, reason=_UNJUDGED)
            reason = f"no verdict from the site within {policy.deadline_s:g} s"
            return replace(status, state=MergeState.REJECTED, reason=reason)
        case GatesFailed(reason=reason) | PublicationRefused(reason=reason):
            return replace(status, state=MergeState.REJECTED, reason=reason)
        case Outdone(reason=reason) if not status.accepted:
            return replace(status, state=MergeState.REJECTED, reason=reason)
        case VersionPublished(number=number) if status.accepted:
            return _published(status, number)
        case _:
            return status
