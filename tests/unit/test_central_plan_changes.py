"""The planner: newer teachers, claims, what left the net."""

from __future__ import annotations

from dataclasses import replace

from fakes.plans import BOTH, POLICY, after, known, route, situation, tasks, teacher, waiting

from central.merge.founding import founder_of
from central.merge.situation import (
    Ending,
    Standing,
)
from central.merge.tasks import Host

CLASSIFY, SEGMENT = BOTH


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
