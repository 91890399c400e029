"""What a process remembers of routes' answers, and what it asks again all the same."""

from __future__ import annotations

from fakes.clock import FakeClock

from central.merge.known_answers import KnownAnswers
from central.merge.pace import Pace
from transplant.types import Route, Task


def routes(count):
    return [
        Route(f"c{n}", Task.CLASSIFICATION, f"f{n}", f"h{n}", "g", merge_key=f"k{n}") for n in range(count)
    ]


def digests(those):
    return {route.merge_key: f"logits-{route.merge_key}" for route in those}


def test_only_equal_modules_on_equal_numerics_are_known():
    known, those = KnownAnswers(), routes(2)
    known.remember(those, digests(those), "here")
    assert known.known(those, "here") == digests(those)
    assert known.known(those, "elsewhere") == {}
    other = Route("c0", Task.CLASSIFICATION, "f0", "another h", "g", merge_key="k0")
    assert known.known([other], "here") == {}


def test_every_route_is_asked_again_sooner_or_later():
    known, those = KnownAnswers(), routes(30)
    asked = {route.merge_key for _ in range(4) for route in known.to_ask_again(those)}
    assert len(asked) == 30
    assert known.to_ask_again([]) == ()


def test_candidates_are_known_until_they_are_part_of_a_version():
    known, (one, other) = KnownAnswers(), routes(2)
    known.note(one, "x", "here")
    known.remember([other], {"k1": "y"}, "here")
    assert known.known([one, other], "here") == {"k0": "x", "k1": "y"}
    known.remember([other, one], {"k0": "x", "k1": "y"}, "here")
    known.remember([other], {"k1": "y"}, "here")
    assert known.known([one], "here") == {}


def test_a_pace_takes_a_tenth_of_the_time():
    clock = FakeClock()
    pace = Pace(clock)
    assert pace.due()
    with pace:
        clock.advance(2.0)
    assert not pace.due()
    clock.advance(17.9)
    assert not pace.due()
    clock.advance(0.2)
    assert pace.due()


def test_runs_are_as_far_apart_as_the_caller_asks():
    clock = FakeClock()
    pace = Pace(clock)
    assert pace.due(5.0)
    with pace:
        clock.advance(0.1)
    clock.advance(1.0)
    assert pace.due()
    assert not pace.due(5.0)
    assert round(pace.wait_s(5.0), 6) == 3.9
    clock.advance(3.9)
    assert pace.due(5.0)
