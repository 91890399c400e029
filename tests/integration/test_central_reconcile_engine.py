"""The merge loop, round by round, with an engine that fails and a center that is killed."""

from __future__ import annotations

import logging
import threading

import pytest
from fakes.turned_center import accept, site

from central.merge.execute import execute
from central.runners.engine import Finished
from central.usecases.cancel_merge import cancel_merge
from central.usecases.retry_merge import retry_merge
from transplant.errors import (
    InvalidSettings,
    MergeEngineUnavailable,
    MergeNotPossible,
    NotFound,
    RegistryUnavailable,
    UnexpectedFailure,
)
from transplant.types import MergeState


def test_a_missing_engine_leaves_the_merge_planned_and_says_why(founded):
    founded.engine.missing = "Ray is not available: nobody answers at 10.0.0.1"
    founded.bring("cat", 2)
    founded.rounds()
    (status,) = founded.merges("cat")
    assert (status.state, status.reason) == (MergeState.PLANNED, founded.engine.missing)
    with founded.registry.read() as books:
        steps = len(books.merges.transitions(status.merge_key))
    founded.rounds()
    with founded.registry.read() as books:
        assert len(books.merges.transitions(status.merge_key)) == steps  # said once
    founded.engine.missing = ""
    founded.rounds(1)
    assert founded.merges("cat")[0].state is MergeState.LEARNING


def test_an_engine_that_vanishes_costs_no_attempt(founded):
    founded.bring("cat", 2)
    founded.rounds(2)
    founded.engine.vanish()
    founded.rounds(2)
    (status,) = founded.merges("cat")
    assert (status.state, status.attempts) == (MergeState.PLANNED, 0)
    founded.engine.missing = ""
    founded.rounds(2)
    founded.engine.finish()
    founded.rounds()
    assert founded.merges("cat")[0].state is MergeState.VALIDATING


def test_dead_workers_are_replaced_until_the_policy_gives_up(founded):
    (summary,) = founded.bring("cat", 2)
    for attempt in (1, 2):
        founded.rounds(2)
        assert founded.engine.submitted == [summary.merge_key] * attempt
        founded.engine.kill_workers()
    founded.rounds()
    (status,) = founded.merges("cat")
    assert (status.state, status.attempts) == (MergeState.FAILED, 2)
    assert "out of memory" in status.reason
    founded.bring("cat", 2)  # the site's agent asks again and again
    founded.rounds()
    assert founded.merges("cat") == [status]
    assert len(founded.engine.submitted) == 2
    founded.bring("cat", 2, retry=True)  # somebody at the site wants it tried once more
    assert founded.merges("cat")[0].state is MergeState.PLANNED
    assert founded.merges("cat")[0].attempts == 0


def test_a_merge_that_cannot_be_learned_is_not_learned_for_ever(founded, monkeypatch):
    def no_gpu(*_args, **_kwargs):
        raise InvalidSettings("device cuda, and no GPU is seen")

    monkeypatch.setattr("central.merge.execute.learn_route", no_gpu)
    for _ in range(5):
        founded.bring("cat", 2)
        founded.rounds(2)
        founded.engine.finish()
        founded.rounds(2)
    assert len(founded.engine.submitted) == 1
    (status,) = founded.merges("cat")
    assert status.state is MergeState.FAILED
    retry_merge(founded.center, status.merge_key[:12])  # the operator has seen to it
    assert founded.merges("cat")[0].state is MergeState.PLANNED
    with pytest.raises(MergeNotPossible, match="is planned"):
        retry_merge(founded.center, status.merge_key)
    with pytest.raises(NotFound, match="0 merges have a key"):
        retry_merge(founded.center, "none such")


def test_no_more_workers_than_the_engine_has_room_for(founded):
    founded.engine.capacity = 1
    for index, category in enumerate(("cat", "cow", "hen")):
        founded.bring(category, 10 + index)
    founded.rounds()
    assert len(founded.engine.orders) == 1
    founded.engine.finish()
    founded.rounds()
    assert len(founded.engine.orders) == 1
    assert len(set(founded.engine.submitted)) == 2


def test_a_killed_center_hands_the_merge_out_again(founded):
    founded.bring("cat", 2)
    founded.rounds(2)
    (order,) = founded.engine.orders.values()
    founded.engine.close()  # the workers went with it
    founded.revive()
    founded.rounds(1)
    assert list(founded.engine.orders.values()) == [order]


def test_a_result_that_a_killed_center_never_collected_is_used(founded):
    founded.bring("cat", 2)
    founded.rounds(2)
    founded.engine.finish()
    founded.engine.endings.clear()  # nobody was there to hear it
    founded.revive()
    founded.rounds(1)
    bench = founded.center.workshop.bench(founded.engine.submitted[0])
    learned = bench.adapter.read_bytes()
    founded.engine.finish()  # finds the outcome and learns nothing
    assert bench.adapter.read_bytes() == learned
    founded.rounds()
    assert founded.merges("cat")[0].state is MergeState.VALIDATING


def test_a_cancelled_merges_worker_is_stopped(founded):
    (summary,) = founded.bring("cat", 2)
    founded.rounds(2)
    cancel_merge(founded.center, site("cat"), summary.merge_key)
    founded.rounds(1)
    assert founded.center.workshop.bench(summary.merge_key).stopped()
    founded.engine.finish()
    founded.rounds(2)
    assert founded.merges("cat")[0].state is MergeState.CANCELLED
    assert not founded.engine.running()


def test_a_bug_in_a_worker_fails_the_merge_with_its_words(founded, monkeypatch):
    def broken(*_args, **_kwargs):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("central.merge.execute.learn_route", broken)
    founded.bring("cat", 2)
    founded.rounds(2)
    founded.engine.finish()
    founded.rounds(2)
    (status,) = founded.merges("cat")
    assert status.state is MergeState.FAILED
    assert status.reason == f"{UnexpectedFailure.code()}: ZeroDivisionError: by zero"


def test_a_passing_trouble_of_a_worker_is_tried_again_later(founded, monkeypatch):
    def away(*_args, **_kwargs):
        raise MergeEngineUnavailable("the shared volume is away")

    with monkeypatch.context() as broken:
        broken.setattr("central.merge.execute.learn_route", away)
        founded.bring("cat", 2)
        founded.rounds(2)
        founded.engine.finish()
        founded.rounds(3)
    assert founded.merges("cat")[0].state is MergeState.PLANNED
    assert not founded.engine.orders  # not at once
    founded.clock.advance(60)
    founded.rounds(2)
    founded.engine.finish()
    founded.rounds()
    assert founded.merges("cat")[0].state is MergeState.VALIDATING


def test_a_worker_without_room_for_its_outcome_is_no_death(founded):
    founded.bring("cat", 2)
    for _ in range(4):  # more often than a worker may die
        founded.rounds(2)
        assert founded.engine.orders
        founded.engine.hinder()
        founded.rounds(2)
        assert founded.merges("cat")[0].state is MergeState.PLANNED
        assert "StorageFull" in founded.merges("cat")[0].reason
        assert not founded.engine.orders  # not at once
        founded.clock.advance(60)
    founded.rounds(2)
    founded.engine.finish()
    founded.rounds()
    assert founded.merges("cat")[0].state is MergeState.VALIDATING


def test_a_damaged_checkpoint_starts_the_merge_anew(founded):
    (summary,) = founded.bring("cat", 2)
    founded.rounds(2)
    founded.center.workshop.bench(summary.merge_key).save_checkpoint(b"half a checkpoint")
    founded.engine.finish()
    founded.rounds()
    assert founded.merges("cat")[0].state is MergeState.VALIDATING


@pytest.mark.parametrize(
    ("error", "level"),
    [(RegistryUnavailable("restarting"), logging.WARNING), (ZeroDivisionError("by zero"), logging.ERROR)],
)
def test_a_round_that_fails_is_followed_by_the_next(founded, monkeypatch, caplog, error, level):
    stop, rounds = threading.Event(), []

    def tick():
        rounds.append(1)
        if len(rounds) == 1:
            raise error
        stop.set()
        return False

    monkeypatch.setattr("central.merge.reconcile.RETRY_S", 0.0)
    monkeypatch.setattr(founded.loop, "tick", tick)
    founded.loop.run(stop)
    (told,) = [record for record in caplog.records if "a round of the merge loop failed" in record.message]
    assert (told.levelno, bool(told.exc_info)) == (level, level == logging.ERROR)
    assert str(error) in told.message


def test_versions_are_apart_only_while_merges_queue_up(founded):
    founded.engine.capacity = 1
    for index, category in enumerate(("cat", "cow", "hen", "pig")):
        founded.bring(category, 10 + index)

    def learn_and_accept():
        founded.rounds(2)
        founded.engine.finish()
        founded.rounds(2)
        for category in ("cat", "cow", "hen", "pig"):
            accept(founded, category)
        founded.rounds(2)

    founded.clock.advance(3600.0)
    number = founded.newest().number
    learn_and_accept()
    assert founded.newest().number == number + 1
    learn_and_accept()  # the last still waits for a worker
    founded.clock.advance(4.0)
    founded.rounds(1)
    assert founded.newest().number == number + 1
    founded.clock.advance(1.5)
    founded.rounds(1)
    assert founded.newest().number == number + 2
    learn_and_accept()  # nothing waits any more
    assert founded.newest().number == number + 3


def test_what_happens_is_gathered_while_merges_queue_up_and_workers_have_orders(founded):
    engine, loop, stop = founded.engine, founded.loop, threading.Event()
    engine.capacity = 4
    for index, category in enumerate(("cat", "cow", "hen", "pig", "owl")):
        founded.bring(category, 10 + index)
    founded.rounds(2)
    assert len(engine.orders) == 4
    began_s = founded.clock.monotonic_s()

    def finish_some():
        """End two merges, one after the other: the workers are then on their last orders."""
        for key in list(engine.orders)[:2]:
            execute(engine.orders[key])
            engine.endings.append(Finished(key))
            del engine.orders[key]
            founded.center.bell.ring()

    others = threading.Thread(target=finish_some)
    others.start()
    loop._let_gather(stop, began_s)
    others.join()
    assert len(engine.running()) == 2
    founded.rounds(1)
    states = [status.state for status in founded.merges() if not status.ended]
    assert states.count(MergeState.LEARNING) == 3
    assert states.count(MergeState.VALIDATING) == 2
    founded.clock.advance(1.0)
    loop._let_gather(stop, began_s)  # the second is over: it returns at once
    stop.set()
    loop._let_gather(stop, founded.clock.monotonic_s())
