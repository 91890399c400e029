"""The planner: several hosts, second tries."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.plans import BOTH, POLICY, after, pairs, route, situation, tasks, teacher, waiting

from central.merge.situation import (
    Ending,
    Resident,
    Standing,
)
from central.merge.tasks import Host
from transplant.types import Seam

CLASSIFY, SEGMENT = BOTH


def two_hosts(*merges, policy=POLICY, **more):
    """Dog's and hen's classification modules are resident, and cat comes."""
    routes = [route("dog", CLASSIFY), route("hen", CLASSIFY)]
    return situation([teacher("cat", (CLASSIFY,))], routes, merges, **more), policy


def hosts_of(planned):
    return [(entry.task.host.category, entry.task.settings.get("layers")) for entry in planned]


def test_every_host_within_the_bound_is_tried_side_by_side():
    seen, _ = two_hosts()
    assert hosts_of(tasks(seen)) == [("dog", None), ("hen", None)]
    assert hosts_of(tasks(seen, replace(POLICY, hosts_at_once=1))) == [("dog", None)]


def test_hosts_of_as_many_channels_come_first_then_like_weights():
    likeness = {("g-cat-classification", "g-hen-classification"): 0.9}
    one = replace(POLICY, hosts_at_once=1)
    seen, _ = two_hosts(likeness=lambda a, b: likeness.get((a, b), 0.05))
    assert hosts_of(tasks(seen, one)) == [("hen", None)]
    assert hosts_of(tasks(replace(seen, likeness=lambda _a, _b: 0.1), one)) == [("dog", None)]  # noise
    seen, _ = two_hosts(seams={"f-dog": Seam(64, 16, 16)})
    assert hosts_of(tasks(seen, one)) == [("hen", None)]


def test_after_refusals_come_the_next_host_then_a_larger_adapter_then_nothing():
    policy = replace(POLICY, hosts_at_once=1, most_layers=7)
    seen, _ = two_hosts()
    told = []
    for agreement in (52.0, 58.1, 57.0, 55.0):
        (planned,) = tasks(seen, policy)
        told += hosts_of([planned])
        seen = after(seen, planned, Ending.REFUSED, agreement)
    assert told == [("dog", None), ("hen", None), ("hen", 5), ("hen", 7)]
    assert tasks(seen, policy) == ()
    (left,) = waiting(seen, policy)
    assert left.standing is Standing.GIVEN_UP
    assert "4 attempts were refused, the best agreement was 58.1 %" in left.reason


def test_no_more_hosts_are_tried_than_the_policy_lets():
    policy = replace(POLICY, hosts_at_once=1, most_hosts=1, more_layers=0)
    seen, _ = two_hosts()
    (planned,) = tasks(seen, policy)
    assert tasks(after(seen, planned, Ending.REFUSED, 50.0), policy) == ()


@pytest.mark.parametrize(
    ("ending", "standing"),
    [
        (Ending.CANCELLED, Standing.CANCELLED),
        (Ending.UNANSWERED, Standing.UNANSWERED),
        (Ending.DAMAGED, Standing.DAMAGED),
        (Ending.FAILED, Standing.FAILED),
    ],
)
def test_what_was_not_refused_is_not_tried_otherwise(ending, standing):
    seen, _ = two_hosts()
    planned = tasks(seen, replace(POLICY, hosts_at_once=1))[0]
    seen = after(seen, planned, ending)
    assert tasks(seen) == ()
    (left,) = waiting(seen)
    assert (left.category, left.standing) == ("cat", standing)


def test_nothing_is_added_while_one_of_them_is_open():
    seen, _ = two_hosts()
    first, second = tasks(seen)
    seen = after(after(seen, first, Ending.REFUSED, 50.0), second, Ending.OPEN)
    assert tasks(seen) == ()
    assert waiting(seen) == ()


def test_a_teacher_that_never_fitted_is_planned_once_a_host_fits():
    seams = {"f-cat": Seam(32, 32, 32), "f-cow": Seam(32, 32, 32)}
    routes = [route("dog", CLASSIFY)]
    seen = situation([teacher("cat", (CLASSIFY,))], routes, seams=seams)
    (refused,) = tasks(seen)
    assert "32x32x32" in refused.refusal
    seen = after(seen, refused, Ending.UNFIT)
    assert tasks(seen) == ()
    assert [left.standing for left in waiting(seen)] == [Standing.NO_HOST]
    resident = Resident(CLASSIFY, Host("cow", "f-cow", "g-cow-classification"))
    assert hosts_of(tasks(replace(seen, residents=(*seen.residents, resident)))) == [("cow", None)]


def test_the_operator_may_let_several_bring_their_own_module():
    routes = [route("dog", CLASSIFY)]
    teachers = [teacher(name, (CLASSIFY,)) for name in ("cat", "cow", "hen")]
    planned = tasks(situation(teachers, routes), replace(POLICY, residents=2))
    assert pairs(planned) == [("cat", CLASSIFY, True), ("cow", CLASSIFY, False), ("hen", CLASSIFY, False)]
    seams = {"f-cat": Seam(32, 32, 32)}  # it fits no resident, and there is room for one more
    (own,) = tasks(situation(teachers[:1], routes, seams=seams), replace(POLICY, residents=2))
    assert own.task.identity
