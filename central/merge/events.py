"""What can happen to a merge: past tense, frozen, without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class EngineReady:
    """The engine has room for this merge (for an identity: nothing to learn, its turn has come)."""


@dataclass(frozen=True)
class EngineMissed:
    """The engine is not there, or went away under a running merge."""

    reason: str


@dataclass(frozen=True)
class AdapterLearned:
    """A worker learned h; its sealed artifact is registered under `adapter`."""

    adapter: str
    figures: dict[str, float]


@dataclass(frozen=True)
class WorkerDied:
    """The worker's process ended without a result."""

    reason: str


@dataclass(frozen=True)
class LearningFailed:
    """The merge cannot be learned; trying again would end the same way."""

    reason: str


@dataclass(frozen=True)
class GatesPassed:
    """The center's own checks of the candidate are passed."""

    at: datetime


@dataclass(frozen=True)
class GatesFailed:
    """The center's own checks refuse the candidate."""

    reason: str


@dataclass(frozen=True)
class Outdone:
    """Another merge of the same teacher and task was published."""

    reason: str


@dataclass(frozen=True)
class PublicationRefused:
    """The candidate passed its gates, and there is no place for it in the net any more."""

    reason: str


@dataclass(frozen=True)
class PublicationPostponed:
    """An accepted candidate cannot be published now, by no fault of its own: it is tried again."""

    reason: str


@dataclass(frozen=True)
class VerdictReported:
    """The owning site measured the candidate; `closed` is percent of the way from floor to teacher.

    `standing` is what the published route closes that the candidate would take the place of, if there is one.
    """

    closed: float
    figures: dict[str, float]
    standing: float | None = None


@dataclass(frozen=True)
class TimePassed:
    """It is now `at`; `replaces` tells whether the candidate would take the place of a published route."""

    at: datetime
    replaces: bool = False


@dataclass(frozen=True)
class VersionPublished:
    """The route is part of version `number`; recorded in the transaction that publishes."""

    number: int


@dataclass(frozen=True)
class CancelRequested:
    """The owning site or an operator does not want this merge."""

    by: str


@dataclass(frozen=True)
class RequestedAgain:
    """The site or an operator wants a merge tried once more that failed, or was kept from its publication."""


@dataclass(frozen=True)
class SiteReturned:
    """The site that had not answered in time is there again: it is asked once more."""

    at: datetime


@dataclass(frozen=True)
class CenterReturned:
    """The center did not serve for so long: no site could answer meanwhile."""

    away_s: float


Event = (
    EngineReady
    | EngineMissed
    | AdapterLearned
    | WorkerDied
    | LearningFailed
    | GatesPassed
    | GatesFailed
    | Outdone
    | PublicationPostponed
    | PublicationRefused
    | VerdictReported
    | TimePassed
    | VersionPublished
    | CancelRequested
    | RequestedAgain
    | SiteReturned
    | CenterReturned
)
