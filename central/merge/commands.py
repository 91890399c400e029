"""What the machine wants done for a merge: imperative; each is harmless when it is executed twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class StartWhenFree:
    """Begin as soon as the engine has room, and report `EngineReady`."""

    merge_key: str


@dataclass(frozen=True)
class KeepLearning:
    """See to it that a worker is learning this merge, from its last checkpoint."""

    merge_key: str


@dataclass(frozen=True)
class StopLearning:
    """Tell the worker to stop."""

    merge_key: str


@dataclass(frozen=True)
class CheckCandidate:
    """Run the center's own checks."""

    merge_key: str


@dataclass(frozen=True)
class AwaitVerdict:
    """Wait for the owning site until `deadline`."""

    merge_key: str
    deadline: datetime


@dataclass(frozen=True)
class PublishRoute:
    """Add the route to a new version of the net, unless that would change anything old."""

    merge_key: str


Command = StartWhenFree | KeepLearning | StopLearning | CheckCandidate | AwaitVerdict | PublishRoute
