"""The one retry policy."""

from __future__ import annotations

import threading
import time

import pytest

from transplant.errors import CenterUnreachable, NotAllowed
from transplant.rpc.retry import RetryPolicy

QUICK = RetryPolicy(deadline_s=5, first_s=0.001, longest_s=0.002)


def _failing(times, error):
    calls = []

    def attempt():
        calls.append(None)
        if len(calls) <= times:
            raise error
        return len(calls)

    return attempt


def test_repeats_until_it_works():
    assert QUICK.run(_failing(4, CenterUnreachable("away"))) == 5


@pytest.mark.parametrize("error", [NotAllowed("no"), ValueError("a bug")])
def test_does_not_repeat_what_no_retry_cures(error):
    attempt = _failing(1, error)
    with pytest.raises(type(error)):
        QUICK.run(attempt)
    assert attempt() == 2  # it was called once before


def test_gives_up_at_the_deadline_with_the_last_error():
    began_s = time.monotonic()
    with pytest.raises(CenterUnreachable, match="away"):
        RetryPolicy(deadline_s=0.1, first_s=0.001, longest_s=0.01).run(
            _failing(10_000, CenterUnreachable("away"))
        )
    assert 0.1 <= time.monotonic() - began_s < 2


def test_a_stopped_client_does_not_wait_for_the_deadline():
    stopped = threading.Event()

    def attempt():
        stopped.set()
        raise CenterUnreachable("away")

    began_s = time.monotonic()
    with pytest.raises(CenterUnreachable):
        RetryPolicy(deadline_s=60, first_s=30, longest_s=30).run(attempt, stopped)
    assert time.monotonic() - began_s < 5
