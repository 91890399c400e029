"""The planner: sites that founded together ship one generic g_S, each under an id of its own."""

from __future__ import annotations

from dataclasses import replace

from fakes.plans import BOTH, after, known, pairs, route, situation, tasks, teacher

from central.merge.hosts import residents_of
from central.merge.situation import Ending, PlanPolicy
from central.merge.tasks import Host, learner_document

CLASSIFY, SEGMENT = BOTH
POLICY = PlanPolicy(learner=learner_document({"steps": 3}))


def founded(*teachers, twins=("dog", "cat", "cow")):
    """Return a net that dog has founded; the task modules of `twins` are one function a task."""

    def equal(one, other):
        names = [(each.split("-")[1], each.split("-")[2]) for each in (one, other)]
        return one == other or (names[0][1] == names[1][1] and {name for name, _ in names} <= set(twins))

    merges = [known("dog", task, Ending.PUBLISHED, identity=True) for task in BOTH]
    routes = [route("dog", task) for task in BOTH]
    return situation([teacher("dog"), *teachers], routes, merges, twins=equal)


def test_who_founded_together_joins_with_the_identity_into_what_is_its_own_module():
    planned = tasks(founded(teacher("cat"), teacher("cow")), POLICY)
    assert pairs(planned) == [(category, task, True) for category in ("cat", "cow") for task in BOTH]
    assert {entry.task.teacher_task_module for entry in planned} == {f"g-dog-{task.value}" for task in BOTH}
    assert {entry.task.teacher_category_module for entry in planned} == {"f-cat", "f-cow"}
    assert len({entry.task.key for entry in planned}) == 4


def test_nothing_more_follows_and_the_resident_keeps_its_own_category_module():
    seen = founded(teacher("cat"))
    for planned in tasks(seen, POLICY):
        seen = after(seen, planned, Ending.PUBLISHED)
    assert tasks(seen, POLICY) == ()
    residents = residents_of(seen.routes, lambda _key: Host("?", "?", "?"))
    assert [each.host for each in residents] == [Host("dog", "f-dog", f"g-dog-{task.value}") for task in BOTH]


def test_others_learn_an_adapter_as_ever():
    planned = tasks(founded(teacher("hen")), POLICY)
    assert pairs(planned) == [("hen", task, False) for task in BOTH]


def test_a_newer_teacher_with_the_same_module_still_has_to_be_measured():
    seen = founded(teacher("dog", name="cat"))  # a place that is taken: no route is replaced unmeasured
    assert pairs(tasks(seen, POLICY)) == [("dog", task, False) for task in BOTH]


def test_a_twin_that_was_refused_is_led_with_an_adapter():
    seen = founded(teacher("cat", (CLASSIFY,)))
    (planned,) = tasks(seen, POLICY)
    seen = after(seen, planned, Ending.REFUSED)
    (next_one,) = tasks(replace(seen), POLICY)
    assert not next_one.task.identity
