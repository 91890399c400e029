"""The planner, whatever happens: growth ends, nothing twice, linear work."""

from __future__ import annotations

import sys
from dataclasses import replace
from enum import StrEnum

import pytest
from fakes.plans import BOTH, after, known, situation, teacher
from hypothesis import given, settings
from hypothesis import strategies as st

from central.merge.plan import plan
from central.merge.situation import (
    CompleteTeacher,
    Ending,
    PlanPolicy,
    Situation,
)
from central.merge.tasks import learner_document
from transplant.types import Route, Task

CLASSIFY, SEGMENT = BOTH


_NAMES = ("dog", "cat", "cow")
_teachers = st.lists(
    st.tuples(
        st.sampled_from(_NAMES),
        st.sampled_from(("site-1", "site-2")),
        st.sampled_from([BOTH, BOTH[:1], BOTH[1:]]),
    ),
    max_size=6,
)
_policies = st.builds(
    PlanPolicy,
    residents=st.integers(1, 2),
    hosts_at_once=st.integers(1, 3),
    most_hosts=st.integers(1, 3),
    more_layers=st.integers(0, 2),
    most_layers=st.integers(1, 6),
    supervisors=st.integers(0, 2),
)
_endings = st.sampled_from(
    [each for each in Ending if each not in (Ending.OPEN, Ending.UNFIT, Ending.OUTDONE)]
)


@settings(max_examples=80, deadline=None)
@given(_teachers, _policies, st.data())
def test_growth_comes_to_an_end_and_no_work_is_planned_twice(brought, policy, data):
    """However merges end, planning stops; every pair then was published, or somebody is told why not."""
    seen = Situation(
        tuple(
            teacher(category, tasks_, site=site, name=f"{category}-{place}")
            for place, (category, site, tasks_) in enumerate(brought)
        ),
        (),
        (),
        situation().seams,
    )
    keys: set[str] = set()
    for _ in range(200):
        found = plan(seen, policy)
        if not found.tasks:
            break
        for planned in found.tasks:
            assert planned.task.key not in keys
            keys.add(planned.task.key)
            assert planned.task.identity or planned.task.host in [r.host for r in seen.residents]
            holder = seen.holder_of(planned.task.category)
            assert planned.task.supervised_by or planned.task.site == holder
        open_ones = seen
        for planned in found.tasks:
            open_ones = after(open_ones, planned, Ending.OPEN)
        assert plan(open_ones, policy).tasks == ()
        published: set[tuple[str, Task]] = set()
        for planned in found.tasks:
            pair = (planned.task.category, planned.task.task)
            ending = Ending.OUTDONE if pair in published else data.draw(_endings)
            if ending is Ending.PUBLISHED:
                published.add(pair)
            seen = after(seen, planned, ending, data.draw(st.floats(0, 100)))
        routed = [(each.category, each.task) for each in seen.routes]
        assert len(set(routed)) == len(routed)
    else:
        pytest.fail("planning never ended")
    if seen.routes:
        told = {(w.site, w.category, w.task) for w in plan(seen, policy).waiting}
        done = {(m.category, m.task) for m in seen.merges if m.ending is Ending.PUBLISHED}
        newest = {}
        for each in seen.teachers:
            for task in each.tasks():
                newest[each.site, each.category, task.task] = each
        assert {key for key in newest if key[1:] not in done and key not in told} == set()


Ten = StrEnum("Ten", [f"task-{number}" for number in range(10)])


def many(teachers: int, resident: int):
    """Return teachers of ten tasks each, and a net of some of them."""
    bring = [
        CompleteTeacher(
            f"f-{n}", f"site-{n}", f"c-{n}", f"f-{n}", tuple((task, f"g-{n}-{task}") for task in Ten)
        )
        for n in range(teachers)
    ]
    routes = [
        Route(f"c-{n}", task, f"f-{n}", None, f"g-{n}-{task}", f"m-{n}-{task}")
        for n in range(resident)
        for task in Ten
    ]
    merges = [
        replace(known(r.category, r.task, Ending.PUBLISHED), teacher_id=r.category_module) for r in routes
    ]
    return situation(bring, routes, merges)


def calls_of(teachers: int, resident: int) -> int:
    """Return how many functions of the planner one plan calls."""
    seen, count = many(teachers, resident), 0

    def note(frame, event, _):
        nonlocal count
        count += event == "call" and "central/merge" in frame.f_code.co_filename

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        planned = plan(seen, PlanPolicy(supervisors=1, learner=learner_document({"steps": 3})))
    finally:
        sys.setprofile(before)
    assert len(planned.tasks) >= 10 * (teachers - resident)
    return count


@pytest.mark.parametrize("residents", [(1, 1), (50, 200)])
def test_planning_is_linear_in_teachers_whatever_is_resident(residents):
    """Counted, not timed: four times the teachers, four times the calls."""
    small, large = (calls_of(*counts) for counts in zip((100, 400), residents, strict=True))
    assert large < 5 * small
