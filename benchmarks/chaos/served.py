"""`transplant-central`, with a clock that somebody else may move: a file holds how many seconds it is ahead.

Nothing else differs from the installed command. Run as `python -m benchmarks.chaos.served serve ...`.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from transplant.backends.system_clock import SystemClock

CLOCK = "TRANSPLANT_CHAOS_CLOCK"


def move_clock(file: Path, seconds: float) -> None:
    """Set how far the clock of a server that was started with `file` is ahead."""
    temporary = file.with_suffix(".tmp")
    temporary.write_text(repr(seconds), encoding="ascii")
    temporary.replace(file)


def ahead_s(file: Path) -> float:
    """Return how far the clock is ahead."""
    try:
        return float(file.read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0.0


def _now(self: SystemClock) -> datetime:
    del self
    return datetime.now(UTC) + timedelta(seconds=ahead_s(Path(os.environ[CLOCK])))


def main() -> None:
    """Run the command line."""
    if CLOCK in os.environ:
        SystemClock.now = _now
    from central.cli import main as central  # after the clock, so that nobody holds the other one

    central()


if __name__ == "__main__":
    main()
