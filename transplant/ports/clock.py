"""Port: time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime


class Clock(Protocol):
    """Two times that must not be confused: the calendar's and the one that only goes forward."""

    def now(self) -> datetime:
        """Return the current time in UTC, for records that people read."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds since an arbitrary point, for deadlines and durations."""
        ...
