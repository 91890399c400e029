"""Port: an engine that executes merge tasks. What it runs is `central.merge.execute.execute`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from central.merge.orders import WorkOrder

AHEAD = 2
"""Orders that an engine takes for each worker: one that is learned, one behind it, so that no worker waits
for the center. More would only take from the center the choice of what is next."""


@dataclass(frozen=True)
class Finished:
    """The worker left an outcome on its workbench."""

    merge_key: str


@dataclass(frozen=True)
class Died:
    """The worker's process ended without an outcome."""

    merge_key: str
    reason: str


@dataclass(frozen=True)
class Lost:
    """The engine itself went away under the worker."""

    merge_key: str
    reason: str


@dataclass(frozen=True)
class Hindered:
    """The worker could not even leave its outcome, for a reason that passes: no room on the disk, say."""

    merge_key: str
    reason: str


Ending = Finished | Died | Lost | Hindered


class Engine(Protocol):
    """One plan, several engines. Called by one thread, the merge loop."""

    @property
    def capacity(self) -> int:
        """How many orders it takes at a time: the back-pressure. No more merges than workers are learned."""
        ...

    def tell(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, from any thread, whenever there is something to collect or it became ready."""
        ...

    def ensure_ready(self) -> None:
        """Start or reconnect if necessary.

        Raises:
            MergeEngineUnavailable: if the engine is not there (yet); the message says why.
        """
        ...

    def submit(self, order: WorkOrder) -> None:
        """Begin; a merge that runs already is left alone.

        Raises:
            MergeEngineUnavailable: if the engine is not there any more.
        """
        ...

    def running(self) -> frozenset[str]:
        """Return the keys of the merges that are with the engine and have not been collected.

        An engine that outlived its center begins with those that the earlier center submitted.
        """
        ...

    def collect(self) -> tuple[Ending, ...]:
        """Return what has ended since the last call; does not wait."""
        ...

    def close(self) -> None:
        """Stop every worker; what they saved stays."""
        ...
