"""The planner: founding, growth, what waits."""

from __future__ import annotations

from dataclasses import replace

from fakes.plans import BOTH, POLICY, known, pairs, route, situation, tasks, teacher, waiting

from central.merge.situation import (
    Attempt,
    CompleteTeacher,
    Ending,
    PlanPolicy,
    Standing,
)
from central.merge.tasks import Host, MergeTask, learner_document, task_from_document
from transplant.nets.learner_config import LearnerConfig
from transplant.types import Seam, Task

CLASSIFY, SEGMENT = BOTH


def told_before_founding(seen, policy=POLICY):
    left = waiting(seen, policy)
    assert {each.standing for each in left} <= {Standing.AWAITS_FOUNDER}
    return {(each.category, each.task): each.reason for each in left}


def test_everybody_waits_for_the_founder_and_is_told_so():
    seen = situation([teacher("cat")])
    assert tasks(seen, POLICY) == ()
    told = told_before_founding(seen)
    assert set(told) == {("cat", task) for task in BOTH}
    assert all("no site has brought a complete teacher of dog" in reason for reason in told.values())
    assert all("another --founder than dog" in reason for reason in told.values())


def test_who_waits_for_a_founding_that_goes_on_by_itself_is_told_so():
    for seen in (
        situation([teacher("dog"), teacher("cat")]),
        situation([teacher("dog"), teacher("cat")], merges=[known("dog", t, identity=True) for t in BOTH]),
    ):
        told = told_before_founding(seen)
        assert set(told) == {("cat", task) for task in BOTH}
        assert all("is being founded with dog" in reason for reason in told.values())


def test_a_founding_that_failed_is_told_with_its_reason_and_what_to_do():
    attempt = Attempt(None, reason="the candidate answers with numbers that are not finite")
    merges = [known("dog", t, Ending.REFUSED, identity=True, attempt=attempt) for t in BOTH]
    seen = situation([teacher("dog"), teacher("cat")], merges=merges)
    assert tasks(seen, POLICY) == ()
    told = told_before_founding(seen)
    assert set(told) == {(category, task) for category in ("dog", "cat") for task in BOTH}
    for reason in told.values():
        assert "the founding with dog of site site-dog ended refused" in reason
        assert "not finite" in reason
        assert "newer teacher of dog" in reason
        assert "net retry" not in reason  # a refusal is final
    failed = [known("dog", t, Ending.FAILED, identity=True, attempt=attempt) for t in BOTH]
    for reason in told_before_founding(replace(seen, merges=tuple(failed))).values():
        assert "net retry m-dog-segme" in reason


def test_a_named_founder_that_keeps_its_modules_at_home_is_told_as_the_reason():
    told = told_before_founding(situation([keeps_home("dog"), teacher("cat")]))
    assert "ships all of its task modules" in told["cat", Task.CLASSIFICATION]
    assert "set ship to modules" in told["dog", Task.CLASSIFICATION]


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
    own = [each for each in reasons if each.category == "dog"]
    assert [each.task for each in own] == list(BOTH)
    assert all("no founder yet" in each.reason and "site-dog" in each.reason for each in own)


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
