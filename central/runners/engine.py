"""Port: an engine that executes merge tasks. What it runs is `central.merge.execute.execute`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from central.merge.orders import WorkOrder


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


Ending = Finished | Died | Lost


class Engine(Protocol):
    """One plan, several engines. Called by one thread, the merge loop."""

    @property
    def capacity(self) -> int:
        """How many merges may be learned at a time."""
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
        """Return the keys of the merges that were submitted and have not been collected."""
        ...

    def collect(self) -> tuple[Ending, ...]:
        """Return what has ended since the last call; does not wait."""
        ...

    def close(self) -> None:
        """Stop every worker; what they saved stays."""
        ...
