"""The planner: founding, growth, hosts, second tries, and nothing twice."""

from __future__ import annotations

import sys
from dataclasses import replace
from enum import StrEnum

import pytest
from fakes.plans import BOTH, POLICY, after, known, route, situation, teacher
from hypothesis import given, settings
from hypothesis import strategies as st

from central.merge.plan import founder_of, plan
from central.merge.situation import (
    CompleteTeacher,
    Ending,
    PlanPolicy,
    Resident,
    Situation,
    Standing,
)
from central.merge.tasks import Host, MergeTask, Supervisor, learner_document, task_from_document
from transplant.nets.learner_config import LearnerConfig
from transplant.types import Route, Seam, Task

CLASSIFY, SEGMENT = BOTH


def pairs(planned) -> list[tuple[str, Task, bool]]:
    return [(entry.task.category, entry.task.task, entry.task.identity) for entry in planned]


def tasks(seen, policy=POLICY):
    return plan(seen, policy).tasks


def waiting(seen, policy=POLICY):
    return plan(seen, policy).waiting


def test_everybody_waits_for_the_founder():
    assert tasks(situation([teacher("cat")]), POLICY) == ()


def test_founder_brings_all_its_tasks_with_the_identity():
    planned = tasks(situation([teacher("cat"), teacher("dog")]), POLICY)
    assert pairs(planned) == [("dog", task, True) for task in BOTH]
    assert all(entry.task.learner == "" for entry in planned)


def test_without_a_named_founder_the_first_teacher_founds():
    planned = tasks(situation([teacher("cat"), teacher("dog")]), PlanPolicy())
    assert {entry.task.category for entry in planned} == {"cat"}


def test_nothing_is_planned_while_the_founding_is_under_way():
    merges = [known("dog", task, identity=True) for task in BOTH]
    assert tasks(situation([teacher("dog"), teacher("cat")], merges=merges), POLICY) == ()


def test_later_teachers_learn_into_the_resident_task_module():
    routes = [route("dog", task) for task in BOTH]
    planned = tasks(situation([teacher("dog"), teacher("cat"), teacher("cow")], routes), POLICY)
    assert pairs(planned) == [(category, task, False) for category in ("cat", "cow") for task in BOTH]
    assert planned[0].task.host == Host("dog", "f-dog", "g-dog-classification")
    assert len({entry.task.key for entry in planned}) == 4


def test_a_task_holds_the_numbers_of_its_image_size():
    def planned(learner, side):
        seams = dict.fromkeys(("f-dog", "f-cat"), Seam(64, side, side))
        there = situation(
            [teacher("cat", (Task.SEGMENTATION,))], [route("dog", Task.SEGMENTATION)], seams=seams
        )
        return tasks(there, PlanPolicy(learner=learner_document(learner)))[0].task

    names = ("steps", "batch", "synthetic_images", "held_out_images")
    small, large = planned({"layers": 2}, 16), planned({"layers": 2}, 112)
    default = LearnerConfig()
    assert small.settings == {"layers": 2} | {name: getattr(default, name) for name in names}
    assert LearnerConfig.from_dict(large.settings).synthetic_images == 1959
    assert large.settings["steps"] < default.steps
    assert small.key != large.key != planned({"layers": 2, "steps": 9}, 112).key
    chosen = {"layers": 2, "steps": 9, "batch": 4, "synthetic_images": 77, "held_out_images": 5}
    assert planned(chosen, 112).settings == chosen  # an operator's numbers are kept at any size
    every = default.to_dict()  # what a task of an earlier release held at a small size
    assert planned(every | dict.fromkeys(names), 16).key == planned(every, 16).key


def test_a_routed_adapter_is_no_host():
    routes = [route("dog", Task.SEGMENTATION), route("cat", Task.SEGMENTATION, adapter="h")]
    planned = tasks(situation([teacher("cow", (Task.SEGMENTATION,))], routes), POLICY)
    assert planned[0].task.host is not None
    assert planned[0].task.host.category == "dog"


def test_a_task_without_resident_is_brought_along_once():
    routes = [route("dog", Task.CLASSIFICATION)]
    teachers = [teacher("cat"), teacher("cow")]
    planned = tasks(situation(teachers, routes), POLICY)
    assert pairs(planned) == [
        ("cat", Task.CLASSIFICATION, False),
        ("cat", Task.SEGMENTATION, True),
        ("cow", Task.CLASSIFICATION, False),
    ]
    later = [*routes, route("cat", Task.SEGMENTATION)]
    merges = [known(p.task.category, p.task.task, identity=p.task.identity) for p in planned]
    assert pairs(tasks(situation(teachers, later, merges), POLICY)) == [("cow", Task.SEGMENTATION, False)]


def keeps_home(category: str, tasks: tuple[Task, ...] = BOTH) -> CompleteTeacher:
    """Return a teacher whose site ships answers in place of these tasks' modules."""
    whole = teacher(category, tuple(task for task in BOTH if task not in tasks))
    return replace(whole, answers=tuple((task, f"a-{category}-{task.value}") for task in tasks))


def test_a_teacher_of_answers_learns_like_any_other():
    routes = [route("dog", task) for task in BOTH]
    told = replace(keeps_home("cat", (Task.SEGMENTATION,)), statistics="s-cat")
    first, second = (entry.task for entry in tasks(situation([told], routes), POLICY))
    assert (first.teacher_task_module, first.answers) == ("g-cat-classification", None)
    assert (second.teacher_task_module, second.answers) == (None, "a-cat-segmentation")
    assert first.statistics == second.statistics == "s-cat"
    assert waiting(situation([told], routes)) == ()


def test_answers_do_not_found_a_net():
    assert tasks(situation([keeps_home("dog"), teacher("cat")]), POLICY) == ()
    planned = tasks(situation([keeps_home("dog", (Task.SEGMENTATION,)), teacher("cat")]), PlanPolicy())
    assert pairs(planned) == [("cat", task, True) for task in BOTH]  # the first that ships all of its modules
    reasons = waiting(situation([keeps_home("dog"), teacher("cat")]))
    assert [(each.category, each.task) for each in reasons] == [("dog", task) for task in BOTH]
    assert all("no founder yet" in each.reason and "site-dog" in each.reason for each in reasons)


def test_a_task_that_nobody_brought_waits_for_one_who_ships_it():
    routes = [route("dog", Task.CLASSIFICATION)]
    planned = tasks(situation([keeps_home("cat"), teacher("cow")], routes), POLICY)
    assert pairs(planned) == [
        ("cat", Task.CLASSIFICATION, False),
        ("cow", Task.CLASSIFICATION, False),
        ("cow", Task.SEGMENTATION, True),
    ]
    (left,) = waiting(situation([keeps_home("cat"), teacher("cow")], routes))
    assert (left.task, "no segmentation module yet" in left.reason) == (Task.SEGMENTATION, True)
    later = [*routes, route("cow", Task.SEGMENTATION)]
    assert waiting(situation([keeps_home("cat")], later)) == ()


def test_planning_again_adds_nothing():
    routes = [route("dog", task) for task in BOTH]
    merges = [
        known("cat", task, ending) for task, ending in zip(BOTH, (Ending.FAILED, Ending.OPEN), strict=True)
    ]
    assert tasks(situation([teacher("cat")], routes, merges), POLICY) == ()


def test_a_second_teacher_of_a_category_waits_for_the_first():
    routes = [route("dog", task) for task in BOTH]
    better = CompleteTeacher("f-cow", "site-cat", "cat", "f-cow", teacher("cow").task_modules)
    planned = tasks(situation([teacher("cat"), better], routes), POLICY)
    assert {entry.teacher_id for entry in planned} == {"f-cat"}
    rejected = [known("cat", task, Ending.REFUSED) for task in BOTH]
    planned = tasks(situation([teacher("cat"), better], routes, rejected), POLICY)
    assert {entry.teacher_id for entry in planned} == {"f-cow"}


def test_a_seam_that_fits_no_resident_is_refused_with_both_shapes():
    routes = [route("dog", Task.CLASSIFICATION)]
    seams = {"f-cat": Seam(32, 32, 32)}
    (planned,) = tasks(situation([teacher("cat", (Task.CLASSIFICATION,))], routes, seams=seams), POLICY)
    assert "32x32x32" in planned.refusal
    assert "32x16x16" in planned.refusal


def test_key_depends_on_every_input_and_survives_the_document():
    task = MergeTask("cat", Task.SEGMENTATION, "site", "f", "g", Host("dog", "hf", "hg"), POLICY.learner)
    assert task_from_document(task.to_document()) == task
    others = [
        MergeTask("cow", Task.SEGMENTATION, "site", "f", "g", task.host, POLICY.learner),
        MergeTask("cat", Task.CLASSIFICATION, "site", "f", "g", task.host, POLICY.learner),
        MergeTask("cat", Task.SEGMENTATION, "site", "f", "g", None),
        MergeTask("cat", Task.SEGMENTATION, "site", "f", "g", task.host, learner_document({"steps": 4})),
    ]
    others += [replace(task, statistics="s"), replace(task, teacher_task_module=None, answers="a")]
    assert [task_from_document(other.to_document()) for other in others] == others
    assert len({other.key for other in others} | {task.key}) == 7
    assert len({other.seed for other in others} | {task.seed}) == 7


def test_a_task_of_an_earlier_release_keeps_its_key():
    task = MergeTask("cat", Task.SEGMENTATION, "site", "f", "g", Host("dog", "hf", "hg"), POLICY.learner)
    assert task.to_document() == (
        b'{"category":"cat","host":["dog","hf","hg"],"learner":{"steps":3},"site":"site",'
        b'"task":"segmentation","teacher":["f","g"]}'
    )


# --- several hosts, second tries ------------------------------------------------------------------


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


# --- newer teachers, claims, what left the net ------------------------------------------------------


def test_a_newer_teacher_of_a_site_is_a_canary_beside_the_published_route():
    routes = [route("dog", CLASSIFY), route("cat", CLASSIFY, adapter="h")]
    newer = teacher("cat", (CLASSIFY,), name="cat-2")
    seen = situation([teacher("cat", (CLASSIFY,)), newer], routes, [known("cat", CLASSIFY, Ending.PUBLISHED)])
    (planned,) = tasks(seen)
    assert (planned.teacher_id, planned.replaces) == ("f-cat-2", "m-cat-classification")
    assert planned.task.host == Host("dog", "f-dog", "g-dog-classification")
    refused = after(seen, planned, Ending.REFUSED, 50.0)
    assert refused.routes == seen.routes
    published = after(seen, planned, Ending.PUBLISHED)
    assert [r.category_module for r in published.routes] == ["f-dog", "f-cat-2"]
    assert tasks(published) == ()


def test_a_founders_newer_teacher_is_led_into_what_its_older_one_left():
    newer = teacher("dog", (CLASSIFY,), name="dog-2")
    seen = situation(
        [teacher("dog", (CLASSIFY,)), newer],
        [route("dog", CLASSIFY)],
        [known("dog", CLASSIFY, Ending.PUBLISHED, identity=True)],
    )
    (planned,) = tasks(seen)
    assert planned.task.host == Host("dog", "f-dog", "g-dog-classification")
    published = after(seen, planned, Ending.PUBLISHED)
    assert [resident.host for resident in published.residents] == [planned.task.host]  # and stays a host


def test_refusals_of_an_older_teacher_are_not_followed_up():
    routes = [route("dog", CLASSIFY)]
    newer = teacher("cat", (CLASSIFY,), name="cat-2")
    seen = situation([teacher("cat", (CLASSIFY,)), newer], routes)
    (first,) = tasks(seen)
    assert first.teacher_id == "f-cat"
    seen = after(seen, first, Ending.REFUSED, 50.0)
    assert [entry.teacher_id for entry in tasks(seen)] == ["f-cat-2"]


def test_what_was_retired_is_not_planned_again_but_a_newer_teacher_is():
    seen = situation(
        [teacher("cat", (CLASSIFY,))],
        [route("dog", CLASSIFY)],
        [known("cat", CLASSIFY, Ending.PUBLISHED)],
    )
    assert (tasks(seen), waiting(seen)) == ((), ())
    newer = teacher("cat", (CLASSIFY,), name="cat-2")
    (planned,) = tasks(replace(seen, teachers=(*seen.teachers, newer)))
    assert (planned.teacher_id, planned.replaces) == ("f-cat-2", "")


def test_a_second_site_waits_for_the_operator_and_both_are_kept():
    rival = teacher("cat", (CLASSIFY,), site="site-rival", name="cat-rival")
    seen = situation([teacher("cat", (CLASSIFY,)), rival], [route("dog", CLASSIFY)])
    assert [entry.task.site for entry in tasks(seen)] == ["site-cat"]
    (left,) = waiting(seen)
    assert (left.site, left.standing) == ("site-rival", Standing.CONTESTED)
    assert "net claim cat --site site-rival" in left.reason
    decided = replace(seen, holders={"cat": "site-rival"})
    assert [entry.task.site for entry in tasks(decided)] == ["site-rival"]
    assert [(each.site, each.standing) for each in waiting(decided)] == [("site-cat", Standing.DECLINED)]


def test_the_holder_founds():
    rival = teacher("dog", site="site-rival", name="dog-rival")
    seen = situation([teacher("dog"), rival])
    founder = founder_of(replace(seen, holders={"dog": "site-rival"}), POLICY)
    assert founder is not None
    assert founder.site == "site-rival"


def test_one_more_task_of_a_known_teacher_is_brought_along_and_others_follow():
    routes = [route("dog", CLASSIFY), route("cat", CLASSIFY, adapter="h")]
    merges = [known(name, CLASSIFY, Ending.PUBLISHED) for name in ("dog", "cat")]
    seen = situation([teacher("dog"), teacher("cat")], routes, merges)
    (brought,) = tasks(seen)
    assert (brought.task.category, brought.task.identity) == ("dog", True)
    (led,) = tasks(after(seen, brought, Ending.PUBLISHED))
    assert (led.task.category, led.task.host) == ("cat", Host("dog", "f-dog", "g-dog-segmentation"))


# --- tasks that a category's own site never taught ---------------------------------------------------

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


# --- whatever happens -------------------------------------------------------------------------------

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
