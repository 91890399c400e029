"""The merge machine: a race is a one-line test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from central.merge import commands as c
from central.merge import events as e
from central.merge import state as m
from central.merge.verdicts import checked_verdict, closed_percent, flat_figures
from transplant.errors import MergeNotPossible
from transplant.types import MergeState, Task, Verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = m.GatePolicy()
LEARNED = e.AdapterLearned("h", {"agreement": 90.0})


def after(*events: e.Event, identity: bool = False, policy: m.GatePolicy = POLICY) -> m.MergeStatus:
    status = m.MergeStatus("k", identity)
    for event in events:
        status, _ = m.step(status, event, policy)
    return status


def test_the_whole_life():
    events = (e.EngineReady(), LEARNED, e.GatesPassed(NOW), e.VerdictReported(80.0, {"floor.iou": 0.0}))
    accepted = after(*events)
    assert (accepted.state, accepted.accepted) == (MergeState.VALIDATING, True)
    assert m.outstanding(accepted) == (c.PublishRoute("k"),)
    published = after(*events, e.VersionPublished(4))
    assert (published.state, published.version_number) == (MergeState.PUBLISHED, 4)
    assert published.figures == {"agreement": 90.0, "floor.iou": 0.0, "closed": 80.0}
    assert m.outstanding(published) == ()


def test_identity_needs_no_learning_and_no_verdict():
    status = after(e.EngineReady(), e.GatesPassed(NOW), identity=True)
    assert (status.state, status.accepted) == (MergeState.CANDIDATE, True)
    assert m.outstanding(status) == (c.PublishRoute("k"),)


@pytest.mark.parametrize("figures", [{}, {"agreement": 59.9}, {"agreement": float("nan")}])
def test_a_candidate_that_does_not_agree_is_rejected_with_figures(figures):
    status = after(e.EngineReady(), e.AdapterLearned("h", figures), e.GatesPassed(NOW))
    assert status.state is MergeState.REJECTED
    assert "60 %" in status.reason


def test_a_verdict_below_the_policy_rejects_and_says_why():
    status = after(e.EngineReady(), LEARNED, e.GatesPassed(NOW), e.VerdictReported(49.9, {}))
    assert status.state is MergeState.REJECTED
    assert "49.9 %" in status.reason
    assert status.figures["closed"] == 49.9


@pytest.mark.parametrize(
    ("choice", "state"), [("reject", MergeState.REJECTED), ("publish", MergeState.VALIDATING)]
)
def test_the_deadline(choice, state):
    policy = m.GatePolicy(deadline_s=10, after_deadline=choice)
    waiting = (e.EngineReady(), LEARNED, e.GatesPassed(NOW))
    early = after(*waiting, e.TimePassed(NOW + timedelta(seconds=9)), policy=policy)
    assert m.outstanding(early) == (c.AwaitVerdict("k", NOW + timedelta(seconds=10)),)
    late = after(*waiting, e.TimePassed(NOW + timedelta(seconds=10)), policy=policy)
    assert (late.state, late.accepted) == (state, choice == "publish")


def test_a_dead_worker_is_retried_then_given_up():
    died = (e.EngineReady(), e.WorkerDied("killed"))
    assert after(*died).state is MergeState.PLANNED
    assert after(*died, *died).attempts == 2
    given_up = after(*died, *died, *died)
    assert given_up.state is MergeState.FAILED
    assert "killed" in given_up.reason


def test_a_lost_engine_costs_no_attempt():
    status = after(*((e.EngineReady(), e.EngineMissed("Ray went away")) * 5))
    assert (status.state, status.attempts, status.reason) == (MergeState.PLANNED, 0, "Ray went away")


def test_a_failed_merge_can_be_asked_for_again_and_a_cancelled_one_cannot():
    failed = (e.EngineReady(), e.LearningFailed("bug"))
    assert after(*failed, e.RequestedAgain()).state is MergeState.PLANNED
    assert after(e.CancelRequested("site a"), e.RequestedAgain()).state is MergeState.CANCELLED


def test_an_accepted_candidate_that_has_to_wait_says_why_and_stays_accepted():
    unjudged = m.GatePolicy(deadline_s=10, after_deadline="publish")
    asked = (e.EngineReady(), LEARNED, e.GatesPassed(NOW))
    for events, policy, why in (
        ((*asked, e.VerdictReported(80.0, {})), POLICY, ""),
        (
            (*asked, e.TimePassed(NOW + timedelta(seconds=10))),
            unjudged,
            "published without the site's verdict",
        ),
    ):
        waiting = after(*events, e.PublicationPostponed("a blob is lost"), policy=policy)
        assert (waiting.accepted, waiting.reason) == (True, "a blob is lost")
        assert m.outstanding(waiting) == (c.PublishRoute("k"),)
        published, _ = m.step(waiting, e.VersionPublished(2), policy)
        assert (published.state, published.reason) == (MergeState.PUBLISHED, why)
    early = after(*asked)
    assert m.step(early, e.PublicationPostponed("a blob is lost"), POLICY) == (early, ())


def test_what_was_kept_from_its_publication_is_published_when_somebody_asks():
    judged = (e.EngineReady(), LEARNED, e.GatesPassed(NOW), e.VerdictReported(80.0, {}))
    again = after(*judged, e.PublicationRefused("an old route would change"), e.RequestedAgain())
    assert (again.state, again.reason) == (MergeState.VALIDATING, "")
    assert m.outstanding(again) == (c.PublishRoute("k"),)
    bad = after(e.EngineReady(), LEARNED, e.GatesPassed(NOW), e.VerdictReported(1.0, {}), e.RequestedAgain())
    assert bad.state is MergeState.REJECTED


def test_a_silent_site_that_is_back_is_asked_again_and_one_that_judged_is_not():
    policy = m.GatePolicy(deadline_s=10)
    asked = (e.EngineReady(), LEARNED, e.GatesPassed(NOW))
    late, back = NOW + timedelta(seconds=10), NOW + timedelta(seconds=500)
    again = after(*asked, e.TimePassed(late), e.SiteReturned(back), policy=policy)
    assert m.outstanding(again) == (c.AwaitVerdict("k", back + timedelta(seconds=10)),)
    judged = after(*asked, e.VerdictReported(1.0, {}), e.SiteReturned(back), policy=policy)
    assert judged.state is MergeState.REJECTED
    disagreed = after(e.EngineReady(), e.AdapterLearned("h", {}), e.GatesPassed(NOW), e.SiteReturned(back))
    assert disagreed.state is MergeState.REJECTED


def test_a_deadline_does_not_run_while_the_center_is_away():
    policy = m.GatePolicy(deadline_s=10)
    status = after(e.EngineReady(), LEARNED, e.GatesPassed(NOW), e.CenterReturned(3600.0), policy=policy)
    assert status.deadline == NOW + timedelta(seconds=3610)
    accepted = after(e.EngineReady(), LEARNED, e.GatesPassed(NOW), e.VerdictReported(80.0, {}))
    assert m.step(accepted, e.CenterReturned(3600.0), policy) == (accepted, ())


def test_cancelling_a_learning_merge_stops_its_worker():
    status, commands = m.step(after(e.EngineReady()), e.CancelRequested("operator ann"), POLICY)
    assert status.state is MergeState.CANCELLED
    assert commands == (c.StopLearning("k"),)


@pytest.mark.parametrize(
    ("events", "late"),
    [
        ((e.CancelRequested("x"),), LEARNED),
        ((e.EngineReady(), LEARNED), e.AdapterLearned("other", {})),
        ((e.EngineReady(), LEARNED), e.WorkerDied("late")),
        ((e.EngineReady(),), e.VersionPublished(2)),
        ((e.EngineReady(), LEARNED, e.GatesPassed(NOW)), e.VersionPublished(2)),
        ((e.EngineReady(), LEARNED, e.GatesPassed(NOW), e.VerdictReported(90, {})), e.VerdictReported(0, {})),
        ((e.EngineReady(), LEARNED, e.GatesPassed(NOW), e.VerdictReported(0, {})), e.VerdictReported(99, {})),
    ],
)
def test_a_late_event_changes_nothing(events, late):
    status = after(*events)
    assert m.step(status, late, POLICY) == (status, ())


def verdict(name: str, teacher: float, transplanted: float, floor: float) -> Verdict:
    return Verdict("k", {name: teacher}, {name: transplanted}, {name: floor}, 10)


def test_closed_percent_of_an_error_and_of_an_iou():
    assert closed_percent(Task.CLASSIFICATION, verdict("error", 10, 30, 50)) == 50.0
    assert closed_percent(Task.SEGMENTATION, verdict("iou", 80, 60, 0)) == 75.0
    assert closed_percent(Task.SEGMENTATION, verdict("iou", 80, 88, 0)) == pytest.approx(110)


def test_a_teacher_at_the_floor_leaves_no_way_to_go():
    assert closed_percent(Task.CLASSIFICATION, verdict("error", 50, 50, 50)) == 100.0
    assert closed_percent(Task.CLASSIFICATION, verdict("error", 50, 51, 50)) == 0.0


@pytest.mark.parametrize(
    "bad",
    [
        Verdict("k", {}, {}, {}, 0),
        verdict("error", float("nan"), 1, 1),
        verdict("error", 101, 1, 1),
        verdict("error", -1, 1, 1),
        Verdict("k", {f"m{i}": 1.0 for i in range(17)}, {}, {}, 1),
    ],
)
def test_figures_that_cannot_be_right_are_refused(bad):
    with pytest.raises(MergeNotPossible):
        checked_verdict(bad)


def test_the_deciding_measure_must_be_there():
    with pytest.raises(MergeNotPossible, match=r"teacher\.iou"):
        closed_percent(Task.SEGMENTATION, verdict("pixel_accuracy", 1, 1, 1))
    assert flat_figures(verdict("error", 1, 2, 3)) == {
        "teacher.error": 1,
        "transplanted.error": 2,
        "floor.error": 3,
        "validation_samples": 10,
    }
