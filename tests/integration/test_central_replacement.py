"""A newer route takes the place of a published one only where its site measured that it is hardly worse."""

from __future__ import annotations

import pytest
from fakes.turned_center import World, site

from central.usecases.change_net import retire_routes, roll_back
from central.usecases.decide_claim import decide_claim
from central.usecases.read_merges import fetch_candidates
from central.usecases.report_verdict import report_verdict
from transplant.types import MergeState, Verdict

FLOOR = {"error": 50.0}


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.bring("dog", 1, metrics={"validation_error": 10.0, "validation_sample_count": 90.0})
    made.rounds()
    yield made
    made.registry.close()


def bring(world, category, seed, owner=""):
    """Bring a teacher and let its candidate come before its site."""
    world.bring(category, seed, owner=owner)
    wait_for_candidate(world, owner or category)


def wait_for_candidate(world, owner):
    for _ in range(4):
        world.rounds(2)
        world.engine.finish()
    assert fetch_candidates(world.center, site(owner))


def judge(world, owner, teacher, transplanted):
    """Let a site measure its candidate; return how the merge ended."""
    ((key, _),) = fetch_candidates(world.center, site(owner))
    verdict = Verdict(key, {"error": teacher}, {"error": transplanted}, FLOOR, 90)
    report_verdict(world.center, site(owner), verdict)
    world.rounds()
    with world.registry.read() as books:
        return books.merges.get(key).status


def test_a_newer_route_that_is_worse_leaves_the_published_one(world):
    bring(world, "cat", 2)
    judge(world, "cat", 10.0, 12.0)  # closes 95 %
    before = world.newest()
    bring(world, "cat", 3)
    ended = judge(world, "cat", 10.0, 29.6)  # 51 %: enough for a place that is free
    assert ended.state is MergeState.REJECTED
    assert "95.0 % as it is published: that one stays" in ended.reason
    assert world.newest() == before


def test_what_was_published_is_measured_on_the_newer_teachers_scale(world):
    bring(world, "cat", 2)
    judge(world, "cat", 20.0, 20.0)  # all of the way to a poor teacher
    bring(world, "cat", 3)
    ended = judge(world, "cat", 2.0, 14.0)  # 75 % of the way to a good one, and better than what was there
    assert ended.state is MergeState.PUBLISHED


def test_a_little_worse_is_no_reason_to_stay_with_the_old_one(world):
    bring(world, "cat", 2)
    judge(world, "cat", 10.0, 12.0)
    bring(world, "cat", 3)
    assert judge(world, "cat", 10.0, 13.5).state is MergeState.PUBLISHED  # 91.25 %


def test_the_founders_own_route_is_held_to_what_its_manifest_says(world):
    bring(world, "dog", 2)
    ended = judge(world, "dog", 5.0, 20.0)  # 66.7 %; the founder's own error is 10
    assert ended.state is MergeState.REJECTED
    assert "88.9 % as it is published" in ended.reason
    world.bring("dog", 3)
    wait_for_candidate(world, "dog")
    assert judge(world, "dog", 5.0, 8.0).state is MergeState.PUBLISHED


def test_a_founder_that_told_no_figures_gives_way_to_a_route_as_good_as_its_teacher(tmp_path):
    world = World(tmp_path)
    world.bring("dog", 1)
    world.rounds()
    bring(world, "dog", 2)
    assert judge(world, "dog", 5.0, 10.0).state is MergeState.REJECTED
    world.registry.close()


def test_a_category_that_was_given_away_is_not_held_to_the_other_sites_figures(world):
    bring(world, "cat", 2)
    judge(world, "cat", 10.0, 10.0)
    world.bring("cat", 3, owner="cow")
    decide_claim(world.center, "cat", "site-cow")
    wait_for_candidate(world, "cow")
    assert judge(world, "cow", 10.0, 25.0).state is MergeState.PUBLISHED


def test_nothing_is_replaced_without_a_verdict(tmp_path):
    world = World(tmp_path, after_deadline="publish", validation_deadline_s=60.0)
    world.bring("dog", 1)
    world.rounds()
    bring(world, "cat", 2)
    world.clock.advance(60.0)
    world.rounds()
    assert [route.category for route in world.newest().routes] == ["dog", "cat"]  # its place was free
    before = world.newest()
    bring(world, "cat", 3)
    world.clock.advance(60.0)
    world.rounds()
    assert world.merges("cat")[-1].state is MergeState.REJECTED
    assert world.newest() == before
    world.registry.close()


def test_an_unmeasured_route_whose_place_was_taken_meanwhile_is_refused(tmp_path):
    world = World(tmp_path, after_deadline="publish", validation_deadline_s=60.0)
    world.bring("dog", 1)
    world.rounds()
    bring(world, "cat", 2)
    judge(world, "cat", 10.0, 10.0)
    retire_routes(world.center, "cat")
    bring(world, "cat", 3)
    world.loop._publish = lambda _accepted: None  # it is accepted, and its publication has to wait
    world.clock.advance(60.0)
    world.rounds()
    assert world.merges("cat")[-1].accepted
    back = roll_back(world.center, 2)
    world.revive()
    world.rounds()
    ended = world.merges("cat")[-1]
    assert ended.state is MergeState.REJECTED
    assert "it has no verdict" in ended.reason
    assert world.newest() == back
    world.registry.close()
