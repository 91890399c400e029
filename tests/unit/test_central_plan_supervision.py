"""The planner: tasks that a category's own site never taught."""

from __future__ import annotations

from dataclasses import replace

from fakes.plans import BOTH, POLICY, after, known, route, situation, tasks, teacher, waiting

from central.merge.plan import plan
from central.merge.situation import (
    Ending,
    Standing,
)
from central.merge.tasks import Host, Supervisor

CLASSIFY, SEGMENT = BOTH


TRY_TWO = replace(POLICY, supervisors=2)


def unsupervised(**more):
    """Dog founds both tasks, cow learned both, hen classifies only."""
    routes = [
        *(route("dog", task) for task in BOTH),
        *(route("cow", task, adapter="h") for task in BOTH),
        route("hen", CLASSIFY, adapter="h"),
    ]
    merges = [known(r.category, r.task, Ending.PUBLISHED) for r in routes]
    teachers = [teacher("dog"), teacher("cow"), teacher("hen", (CLASSIFY,))]
    return situation(teachers, routes, merges, **more)


def test_a_task_that_its_site_never_taught_is_left_alone_by_default():
    assert plan(unsupervised(), POLICY) == plan(situation(), POLICY)


def test_the_nearest_teachers_supervise_it_and_the_task_says_so():
    first, second = tasks(unsupervised(), TRY_TWO)
    assert [t.task.supervised_by for t in (first, second)] == [
        Supervisor("dog", "f-dog"),
        Supervisor("cow", "f-cow"),
    ]
    assert (first.task.category, first.task.task, first.task.site) == ("hen", SEGMENT, "site-dog")
    assert first.task.teacher_category_module == first.teacher_id == "f-hen"
    assert first.task.teacher_task_module == "g-dog-segmentation"
    assert first.task.host == Host("dog", "f-dog", "g-dog-segmentation")


def test_kin_and_like_weights_supervise_first():
    one = replace(POLICY, supervisors=1)
    kin = replace(one, kin=frozenset({("hen", "cow")}))
    alike = unsupervised(likeness=lambda a, b: 0.8 if {a, b} == {"f-hen", "f-cow"} else 0.0)
    for seen, policy in ((unsupervised(), kin), (alike, one)):
        assert [t.task.supervised_by.category for t in tasks(seen, policy)] == ["cow"]


def test_supervision_tries_others_grows_and_gives_up_too():
    policy = replace(POLICY, supervisors=1)
    seen = unsupervised()
    told = []
    for agreement in (61.0, 55.0, 50.0):
        (planned,) = tasks(seen, policy)
        told.append((planned.task.supervised_by.category, planned.task.settings.get("layers")))
        seen = after(seen, planned, Ending.REFUSED, agreement)
    assert told == [("dog", None), ("cow", None), ("dog", 5)]
    assert tasks(seen, policy) == ()
    assert [(w.standing, w.supervised) for w in waiting(seen, policy)] == [(Standing.GIVEN_UP, True)]


def test_a_supervised_route_gives_way_to_its_own_sites_teacher():
    seen = unsupervised()
    seen = after(seen, tasks(seen, TRY_TWO)[0], Ending.PUBLISHED)
    assert tasks(seen, TRY_TWO) == ()
    teachers = (*seen.teachers[:2], teacher("hen"))  # the same teacher, with one more task
    (own,) = tasks(replace(seen, teachers=teachers), TRY_TWO)
    assert (own.task.supervised_by, own.replaces) == (None, seen.routes[-1].merge_key)


def test_who_keeps_its_module_at_home_supervises_nobody():
    seen = unsupervised()
    keeps = [
        replace(each, task_modules=each.task_modules[:1], answers=((SEGMENT, "a"),))
        for each in seen.teachers[:2]
    ]
    seen = replace(seen, teachers=(*keeps, seen.teachers[2]))
    assert tasks(seen, TRY_TWO) == ()
    assert [w.standing for w in waiting(seen, TRY_TWO)] == [Standing.NO_HOST]
