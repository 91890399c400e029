"""A pace for what costs more the larger the net is: it may take a fixed share of the time, and no more.

After a run of d seconds the next one is due `_REST` x d later. Whatever the run's cost grows to, all runs
together take 1 / (1 + `_REST`) of the time at most; what they do in one go grows instead. Where there is
more to win by doing things in one go, the caller names a time that two runs are to be apart at least.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from transplant.ports.clock import Clock

_REST = 9.0


class Pace:
    """Entered around each run.

    Args:
        clock: tells how long it took.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_s = 0.0
        self._due_s: float | None = None

    def due(self, apart_s: float = 0.0) -> bool:
        """Tell whether the next run may begin; `apart_s` after the last one began at the earliest."""
        return self.wait_s(apart_s) <= 0

    def wait_s(self, apart_s: float = 0.0) -> float:
        """Return how long to wait for the next run; 0 or less: not at all."""
        if self._due_s is None:
            return 0.0
        return max(self._due_s, self._began_s + apart_s) - self._clock.monotonic_s()

    def __enter__(self) -> None:
        self._began_s = self._clock.monotonic_s()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        now_s = self._clock.monotonic_s()
        self._due_s = now_s + _REST * (now_s - self._began_s)
