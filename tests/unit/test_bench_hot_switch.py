"""What counts as an answer of two versions."""

from __future__ import annotations

import pytest

from benchmarks.speed.hot_switch import mixed

WANTED = {1: {(0, "cat"): 1.0, (1, "cat"): 2.0}, 2: {(0, "cat"): 6.0, (1, "cat"): 7.0}}


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ((1, {(0, "cat"): 1.0, (1, "cat"): 2.0}), 0),
        ((2, {(0, "cat"): 6.0, (1, "cat"): 7.0}), 0),
        ((2, {(0, "cat"): 6.0, (1, "cat"): 2.0}), 1),
        ((2, {(0, "cat"): 1.0}), 1),
        ((3, {(0, "cat"): 6.0}), 1),
    ],
    ids=["old", "new", "one picture each", "another's name", "no version that was served"],
)
def test_a_reply_is_mixed_if_any_logit_is_of_another_version_than_it_names(told, found):
    assert mixed([told], WANTED) == found
