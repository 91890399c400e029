"""A site's time for its verdict: what of it counts, and what follows when it is over."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from fakes.real_center import real_center
from fakes.turned_center import World, accept
from fakes.waiting import wait

from central.home import last_alive, note_alive, open_registry
from central.merge.situation import Standing
from central.net.plan_report import plan_document
from central.usecases.extend_deadlines import extend_deadlines
from central.usecases.retry_merge import retry_merge
from transplant.errors import MergeNotPossible
from transplant.types import MergeState, Task

DEADLINE_S = 3600.0


@pytest.fixture
def waiting(tmp_path):
    """A center that waits for the verdict of the site of cat."""
    made = World(tmp_path, validation_deadline_s=DEADLINE_S)
    made.grow("dog", 1)
    made.bring("cat", 2)
    made.rounds(2)
    made.engine.finish()
    made.rounds()
    yield made
    made.registry.close()


def state(world):
    (status,) = world.merges("cat")
    return status.state


def test_the_time_in_which_no_center_served_does_not_count(waiting):
    waiting.clock.advance(60.0)
    served = waiting.clock.now()
    waiting.clock.advance(2 * DEADLINE_S)  # over night
    waiting.revive()
    assert extend_deadlines(waiting.center, served) == 1
    waiting.rounds()
    assert state(waiting) is MergeState.VALIDATING
    waiting.clock.advance(DEADLINE_S - 61.0)
    waiting.rounds()
    assert state(waiting) is MergeState.VALIDATING
    waiting.clock.advance(1.0)
    waiting.rounds()
    assert state(waiting) is MergeState.REJECTED
    assert extend_deadlines(waiting.center, served) == 0


def test_where_nobody_noted_when_it_served_the_audit_log_says_it(waiting):
    with waiting.registry.read() as books:
        newest = datetime.fromisoformat(books.audit.last(1)[0].at)
    before = waiting.merges("cat")[0].deadline
    waiting.clock.advance((newest - waiting.clock.now()).total_seconds() + DEADLINE_S + 1)
    extend_deadlines(waiting.center, None)
    (status,) = waiting.merges("cat")
    assert status.deadline - before == timedelta(seconds=DEADLINE_S + 1)


def test_a_site_that_is_there_again_is_asked_again(waiting):
    waiting.clock.advance(DEADLINE_S)
    waiting.rounds()
    assert state(waiting) is MergeState.REJECTED
    with waiting.registry.read() as books:
        (left,) = plan_document(books, waiting.center.policy.plan)["waiting"]
    assert left["standing"] == Standing.UNANSWERED.value
    assert "net retry" in left["reason"]
    waiting.rounds()
    assert state(waiting) is MergeState.REJECTED  # nothing happens by itself
    waiting.bring("cat", 2)  # what its agent says at every turn
    assert state(waiting) is MergeState.VALIDATING
    accept(waiting, "cat")
    waiting.rounds()
    assert state(waiting) is MergeState.PUBLISHED


def test_an_operator_has_a_site_asked_again(waiting):
    waiting.clock.advance(DEADLINE_S)
    waiting.rounds()
    (status,) = waiting.merges("cat")
    assert retry_merge(waiting.center, status.merge_key[:12]).status.state is MergeState.VALIDATING
    with pytest.raises(MergeNotPossible, match="is validating"):
        retry_merge(waiting.center, status.merge_key[:12])


def test_of_several_unanswered_candidates_the_best_is_asked_about_first(tmp_path):
    made = World(tmp_path, residents=2, hosts_at_once=2, validation_deadline_s=DEADLINE_S)
    made.grow("dog", 1)
    made.grow("cow", 2)
    made.bring("cat", 3)
    made.rounds(2)
    made.engine.finish()
    for _ in range(2):  # one after the other they are asked about, in vain
        made.rounds()
        made.clock.advance(DEADLINE_S)
    made.rounds()
    assert [status.state for status in made.merges("cat")] == [MergeState.REJECTED] * 2
    made.bring("cat", 3)
    made.bring("cat", 3)
    (asked,) = [status for status in made.merges("cat") if not status.ended]
    assert asked.figures["agreement"] == max(s.figures["agreement"] for s in made.merges("cat"))
    made.registry.close()


def test_a_served_home_notes_that_it_is_served_and_a_restart_extends(tmp_path):
    with real_center(tmp_path, validation_deadline_s=30.0) as center:
        center.bring("dog", 1, (Task.CLASSIFICATION,))
        center.bring("cat", 2, (Task.CLASSIFICATION,))
        client = center.client("site-cat")
        wait(client.fetch_candidates)
        center.stop()
        stopped = last_alive(tmp_path)
        assert stopped is not None
        note_alive(tmp_path, stopped - timedelta(hours=1))  # as if it had been stopped for an hour
        before = _deadline(center)
        center.start()
        assert _deadline(center) - before >= timedelta(hours=1)


def _deadline(center):
    registry = open_registry(center.settings)
    try:
        with registry.read() as books:
            (merge,) = books.merges.list("cat", open_only=True)
    finally:
        registry.close()
    return merge.status.deadline
