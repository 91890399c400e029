"""Any order of events: the merge machine keeps its promises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from central.merge import commands as c
from central.merge import events as e
from central.merge import state as m
from transplant.types import MergeState

START = datetime(2026, 1, 1, tzinfo=UTC)
RANK = {
    MergeState.PLANNED: 0,
    MergeState.LEARNING: 1,
    MergeState.CANDIDATE: 2,
    MergeState.VALIDATING: 3,
}
percent = st.floats(0, 100)


class Merge(RuleBasedStateMachine):
    """One merge and a world that sends it anything at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = m.GatePolicy(deadline_s=100.0)
        self.now = START
        self.status = m.MergeStatus("k", identity=False)
        self.before = self.status
        self.commands: tuple[c.Command, ...] = ()
        self.deaths = 0
        self.published: list[int] = []

    events = Bundle("events")

    @initialize(identity=st.booleans(), late=st.sampled_from(["reject", "publish"]))
    def begin(self, identity, late):
        self.policy = m.GatePolicy(deadline_s=100.0, after_deadline=late)
        self.status = self.before = m.MergeStatus("k", identity=identity)

    def feed(self, event: e.Event) -> e.Event:
        self.before = self.status
        self.status, self.commands = m.step(self.status, event, self.policy)
        if self.status.state is MergeState.PUBLISHED and self.before.state is not MergeState.PUBLISHED:
            self.published.append(self.status.version_number)
        return event

    @rule(target=events)
    def engine_ready(self):
        return self.feed(e.EngineReady())

    @rule(target=events, reason=st.sampled_from(["Ray is starting", "Ray went away"]))
    def engine_missed(self, reason):
        return self.feed(e.EngineMissed(reason))

    @rule(target=events, agreement=percent)
    def adapter_learned(self, agreement):
        return self.feed(e.AdapterLearned("h", {"agreement": agreement}))

    @rule(target=events)
    def worker_died(self):
        return self.feed(e.WorkerDied("killed"))

    @rule(target=events)
    def learning_failed(self):
        return self.feed(e.LearningFailed("bug"))

    @rule(target=events)
    def gates_passed(self):
        return self.feed(e.GatesPassed(self.now))

    @rule(target=events)
    def gates_failed(self):
        return self.feed(e.GatesFailed("not finite"))

    @rule(target=events)
    def outdone(self):
        return self.feed(e.Outdone("another host's candidate was published"))

    @rule(target=events)
    def publication_refused(self):
        return self.feed(e.PublicationRefused("something old would change"))

    @rule(target=events)
    def publication_postponed(self):
        return self.feed(e.PublicationPostponed("a blob is lost"))

    @rule(target=events, closed=st.floats(-100, 150))
    def verdict(self, closed):
        return self.feed(e.VerdictReported(closed, {}))

    @rule(target=events, seconds=st.integers(0, 200))
    def time_passes(self, seconds):
        self.now += timedelta(seconds=seconds)
        return self.feed(e.TimePassed(self.now))

    @rule(target=events, number=st.integers(1, 9))
    def version_published(self, number):
        return self.feed(e.VersionPublished(number))

    @rule(target=events)
    def cancelled(self):
        return self.feed(e.CancelRequested("site a"))

    @rule(target=events)
    def requested_again(self):
        return self.feed(e.RequestedAgain())

    @rule(target=events)
    def site_returned(self):
        return self.feed(e.SiteReturned(self.now))

    @rule(target=events, away_s=st.floats(0, 500))
    def center_returned(self, away_s):
        return self.feed(e.CenterReturned(away_s))

    @rule(event=events)
    def doubled(self, event):
        """An event that comes twice, or much later."""
        self.feed(event)

    @rule()
    def center_killed(self):
        """Whatever was commanded and not done is found again from the status alone."""
        assert all(command.merge_key == "k" for command in m.outstanding(self.status))
        assert self.status.ended == (m.outstanding(self.status) == ())

    @invariant()
    def publishes_at_most_once(self):
        assert len(self.published) <= 1
        if self.published:
            assert (self.status.state, self.status.version_number) == (
                MergeState.PUBLISHED,
                self.published[0],
            )

    @invariant()
    def what_has_ended_stays(self):
        """All but what somebody asks for once more; what was judged stays judged."""
        before = self.before
        unjudged = before.state is MergeState.REJECTED and (before.accepted or before.unanswered)
        if before.ended and before.state is not MergeState.FAILED and not unjudged:
            assert self.status == before

    @invariant()
    def states_are_passed_in_order(self):
        old, new = self.before.state, self.status.state
        if old in RANK and new in RANK and RANK[new] > RANK[old]:
            step = 2 if self.status.identity else 1
            assert RANK[new] - RANK[old] <= step

    @invariant()
    def only_the_accepted_are_published(self):
        if c.PublishRoute("k") in m.outstanding(self.status):
            assert self.status.accepted
        if self.status.state is MergeState.PUBLISHED and not self.status.identity:
            assert self.status.adapter == "h"
            assert self.status.figures["agreement"] >= self.policy.minimum_agreement

    @invariant()
    def a_change_commands_what_is_outstanding(self):
        if self.commands:
            assert self.commands[-len(m.outstanding(self.status)) or None :] == m.outstanding(
                self.status
            ) or (self.commands == (c.StopLearning("k"),))

    @invariant()
    def what_was_accepted_is_not_outdone(self):
        if self.status.reason.startswith("another host"):
            assert not self.status.accepted

    @invariant()
    def deaths_are_bounded(self):
        assert self.status.attempts <= self.policy.attempts


Merge.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestMerge = Merge.TestCase
