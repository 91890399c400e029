"""Both clocks keep the port's promises."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest
from fakes.clock import FakeClock

from transplant.backends.system_clock import SystemClock


@pytest.mark.parametrize("clock", [SystemClock(), FakeClock()], ids=["system", "fake"])
def test_utc_and_never_back(clock):
    assert clock.now().tzinfo is UTC
    assert clock.monotonic_s() <= clock.monotonic_s()


def test_the_fake_one_moves_when_told():
    clock = FakeClock()
    began, began_s = clock.now(), clock.monotonic_s()
    clock.advance(90)
    assert clock.now() - began == timedelta(seconds=90)
    assert clock.monotonic_s() - began_s == 90
