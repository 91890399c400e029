"""A real center whose clock the test moves, and a look at its open streams."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from fakes.clock import FakeClock
from fakes.real_center import RealCenter, real_center

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from central.servicers.open_streams import OpenStreams


@contextmanager
def center_with_clock(home: Path, **overrides: Any) -> Iterator[tuple[RealCenter, FakeClock]]:
    """Yield a real center, and its clock, which stands still until it is moved."""
    clock = FakeClock(datetime.now(UTC))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("central.compose.SystemClock", lambda: clock)
        with real_center(home, **overrides) as center:
            yield center, clock


@contextmanager
def later(clock: FakeClock, seconds: float) -> Iterator[None]:
    """Be later for a while; other tests of the same center are not."""
    clock.advance(seconds)
    try:
        yield
    finally:
        clock.advance(-seconds)


def streams_of(center: RealCenter) -> OpenStreams:
    """Return the open streams of the server that is up."""
    assert center.serving is not None
    return center.serving._server._access.streams


def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait until a condition holds."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "this never came about"
        time.sleep(0.005)
