"""Candidates of one teacher's task: one goes on at a time, the best first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from central.merge.contest import Turn, turn_of
from central.merge.state import MergeStatus
from central.merge.tasks import Host, MergeTask, Supervisor
from central.registry.values import StoredMerge
from transplant.types import MergeState, Task

ENDED = (MergeState.REJECTED, MergeState.FAILED, MergeState.CANCELLED)


def merge(place, state, agreement=None, *, accepted=False, task=Task.SEGMENTATION, supervisor=None):
    made = MergeTask(
        "cat", task, "site", "f", "g", Host("dog", "hf", f"hg-{place}"), supervised_by=supervisor
    )
    figures = {} if agreement is None else {"agreement": agreement}
    return StoredMerge(
        place, "f", made, MergeStatus(made.key, False, state, figures=figures, accepted=accepted)
    )


def candidate(place, agreement):
    return merge(place, MergeState.CANDIDATE, agreement)


def test_the_best_goes_and_the_others_wait():
    first, second = candidate(1, 70.0), candidate(2, 80.0)
    assert [turn_of(each, (first, second)) for each in (first, second)] == [Turn.WAIT, Turn.GO]
    twin = candidate(3, 80.0)
    assert [turn_of(each, (second, twin)) for each in (second, twin)] == [Turn.GO, Turn.WAIT]  # the older one


def test_everybody_waits_for_who_still_learns_or_is_being_validated():
    own = candidate(1, 90.0)
    for state in (MergeState.PLANNED, MergeState.LEARNING, MergeState.VALIDATING):
        assert turn_of(own, (own, merge(2, state, 10.0))) is Turn.WAIT
    assert turn_of(own, (own, merge(2, MergeState.CANDIDATE, 10.0, accepted=True))) is Turn.WAIT


def test_those_of_another_task_or_teacher_do_not_count():
    own = candidate(1, 50.0)
    others = (
        merge(2, MergeState.LEARNING, task=Task.CLASSIFICATION),
        merge(3, MergeState.PUBLISHED, supervisor=Supervisor("dog", "hf")),
    )
    assert turn_of(own, (own, *others)) is Turn.GO


def test_a_published_rival_outdoes_and_an_ended_one_does_not_hold_up():
    own = candidate(1, 50.0)
    assert turn_of(own, (own, merge(2, MergeState.PUBLISHED, 40.0))) is Turn.OUTDONE
    for state in ENDED:
        assert turn_of(own, (own, merge(2, state, 99.0))) is Turn.GO


scores = st.one_of(st.none(), st.floats(0, 100), st.just(float("nan")))


@given(st.lists(st.tuples(st.sampled_from(MergeState), scores, st.booleans()), min_size=1, max_size=6))
def test_at_most_one_goes_and_nobody_waits_for_ever(drawn):
    """Among candidates alone somebody always goes; beside anything else at most one does."""
    merges = [merge(place, *each[:2], accepted=each[2]) for place, each in enumerate(drawn)]
    waiting = [m for m in merges if m.status.state is MergeState.CANDIDATE and not m.status.accepted]
    turns = [turn_of(each, merges) for each in waiting]
    assert turns.count(Turn.GO) <= 1
    busy = [m for m in merges if not m.status.ended and m not in waiting]
    published = any(m.status.state is MergeState.PUBLISHED for m in merges)
    if waiting and not busy and not published:
        assert turns.count(Turn.GO) == 1
    if waiting and published:
        assert set(turns) == {Turn.OUTDONE}
