"""Whose merge is next: fair between sites, small first within one, and no memory of idle time."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from central.merge.turns import Turns


def queue(turns, *merges):
    for position, (key, site, work) in enumerate(merges):
        turns.join(key, site, work, position)


def served(turns, most=1000):
    order = []
    while (key := turns.first()) is not None and len(order) < most:
        turns.begin(key)
        order.append(key)
    return order


def test_a_site_with_a_hundred_merges_does_not_starve_one_with_one():
    turns = Turns()
    queue(turns, *((f"big-{n}", "big", 10.0) for n in range(100)))
    assert served(turns, 3) == ["big-0", "big-1", "big-2"]
    turns.join("small", "small", 10.0, 500)
    assert "small" in served(turns, 2)


def test_within_a_site_the_small_ones_go_first():
    turns = Turns()
    queue(turns, ("large", "a", 9.0), ("small", "a", 1.0), ("middle", "a", 5.0), ("small-too", "a", 1.0))
    assert served(turns) == ["small", "small-too", "middle", "large"]


def test_who_brings_large_nets_waits_as_much_longer():
    turns = Turns()
    queue(turns, *((f"heavy-{n}", "heavy", 10.0) for n in range(50)))
    queue(turns, *((f"light-{n}", "light", 1.0) for n in range(50)))
    count = Counter(key.split("-")[0] for key in served(turns, 44))
    assert count == {"light": 40, "heavy": 4}


def test_an_operator_gives_a_site_a_larger_share():
    turns = Turns({"favoured": 3.0})
    for site in ("favoured", "other"):
        queue(turns, *((f"{site}-{n}", site, 1.0) for n in range(40)))
    assert Counter(key.split("-")[0] for key in served(turns, 40)) == {"favoured": 30, "other": 10}


def test_idle_time_is_no_claim():
    turns = Turns()
    queue(turns, *((f"busy-{n}", "busy", 1.0) for n in range(30)))
    served(turns, 20)
    queue(turns, *((f"late-{n}", "late", 1.0) for n in range(30)))
    count = Counter(key.split("-")[0] for key in served(turns, 10))
    assert 4 <= count["late"] <= 6


def test_who_leaves_is_not_charged():
    turns = Turns()
    queue(turns, ("a-1", "a", 1.0), ("a-2", "a", 1.0), ("b-1", "b", 1.0))
    turns.leave("a-1")
    turns.leave("a-1")
    assert "a-1" not in turns
    assert len(turns) == 2
    assert served(turns) == ["a-2", "b-1"]
    assert turns.first() is None


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1e12), st.booleans()), min_size=1, max_size=60))
def test_everything_that_waits_is_served_once(merges):
    turns = Turns()
    wanted = []
    for position, (site, work, leaves) in enumerate(merges):
        key = f"{site}-{position}"
        turns.join(key, f"site-{site}", work, position)
        turns.join(key, f"site-{site}", work, position)
        if leaves:
            turns.leave(key)
        else:
            wanted.append(key)
    assert sorted(served(turns)) == sorted(wanted)
