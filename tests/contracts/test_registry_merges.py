"""What the books of merges, versions and events promise, run on every database."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta, timezone

import pytest
from fakes.registry_entries import NOW, add_merge, version_of

from central.merge.state import MergeStatus
from central.registry.values import Comparison, EventRecord
from transplant.artifact.net_document import net_digest
from transplant.errors import NotFound, RegistryConflict
from transplant.types import MergeState, NetVersion

# What may be said, and what is kept of it.
STRANGE_TEXTS = {
    "nul \x00 inside": "nul \N{REPLACEMENT CHARACTER} inside",
    "half \ud800 a pair": "half ? a pair",
    "é 漢 🦁": "é 漢 🦁",
    'it\'s "quoted"; -- \\ % :name': 'it\'s "quoted"; -- \\ % :name',
}
WHAT_IS_STRANGE = ["nul", "surrogate", "letters", "quotes"]


# --- merges --------------------------------------------------------------------------------------


def test_a_merge_keeps_its_steps(registry):
    with registry.write() as books:
        merge = add_merge(books)
        moved = MergeStatus(merge.task.key, identity=True, state=MergeState.CANDIDATE, deadline=NOW)
        books.merges.move(merge.status, moved, "EngineReady", NOW)
    with registry.read() as books:
        found = books.merges.get(merge.task.key)
        assert (found.task, found.status, found.teacher_id) == (merge.task, moved, merge.teacher_id)
        steps = books.merges.transitions(merge.task.key)
        assert [(t.event, t.to_state, t.at) for t in steps] == [
            ("MergePlanned", "planned", NOW),
            ("EngineReady", "candidate", NOW),
        ]
        with pytest.raises(NotFound):
            books.merges.get("0" * 64)


def test_merges_are_listed_as_they_were_planned(registry):
    with registry.write() as books:
        merges = [add_merge(books, category) for category in ("dog", "ant", "cat")]
        failed = replace(merges[1].status, state=MergeState.FAILED)
        books.merges.move(merges[1].status, failed, "LearningFailed", NOW)
    with registry.read() as books:
        assert [m.task.category for m in books.merges.list()] == ["dog", "ant", "cat"]
        assert [m.task.category for m in books.merges.list(open_only=True)] == ["dog", "cat"]
        assert books.merges.list("cat") == (merges[2],)
        assert books.merges.list(teacher_id=merges[0].teacher_id) == (merges[0],)
        assert books.merges.list("cow") == ()


def test_figures_come_back_whatever_they_are(registry):
    figures = {"loss": math.nan, "up": math.inf, "down": -math.inf, "tiny": 5e-324, "third": 1 / 3, "\x00": 1}
    with registry.write() as books:
        merge = add_merge(books)
        after = replace(merge.status, state=MergeState.LEARNING, figures=figures)
        books.merges.move(merge.status, after, "AdapterLearned", NOW)
        books.merges.add_verdict(merge.task.key, "site-a", 1 / 3, figures, NOW)
        books.merges.add_verdict(merge.task.key, "site-a", 99.0, {}, NOW)  # a repeated report
    with registry.read() as books:
        found = books.merges.get(merge.task.key).status.figures
    assert math.isnan(found.pop("loss"))
    assert found == {name: value for name, value in figures.items() if name != "loss"}


def test_times_come_back_in_utc(registry):
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    with registry.write() as books:
        merge = add_merge(books)
        status = MergeStatus(merge.task.key, identity=True, deadline=elsewhere)
        books.merges.move(merge.status, status, "GatesPassed", elsewhere)
    with registry.read() as books:
        deadline = books.merges.get(merge.task.key).status.deadline
    assert deadline == NOW
    assert deadline is not None
    assert deadline.utcoffset() == timedelta(0)


# --- versions ------------------------------------------------------------------------------------


def test_versions_continue_each_other(registry):
    with registry.write() as books:
        assert books.versions.newest() is None
        first = version_of(add_merge(books))
        books.versions.publish(first, NOW)
        digests = {first.routes[0].merge_key: "d"}
        books.versions.record_proof(1, [Comparison("module x", "a", "a")], "numerics", digests)
    with registry.write() as books:
        merge = add_merge(books, "cat")
        second = version_of(merge, 2, net_digest(first), first.routes)
        for wrong in (
            version_of(merge, 3, net_digest(first), first.routes),
            version_of(merge, 2, None, first.routes),
            version_of(merge, 2, net_digest(first)),
            NetVersion(2, net_digest(first), first.routes),
        ):
            with pytest.raises(RegistryConflict):
                books.versions.publish(wrong, NOW)
        books.versions.publish(second, NOW)
        books.versions.record_proof(2, [], "numerics", digests)
    with registry.read() as books:
        assert books.versions.get() == second
        assert books.versions.get(1) == first
        assert books.versions.after(0) == (first, second)
        assert books.versions.probe_digests("numerics") == digests
        assert books.versions.probe_digests("other numerics") == {}
        assert books.versions.proof(1) == (Comparison("module x", "a", "a"),)


def test_a_merge_is_never_published_twice(registry):
    with registry.write() as books:
        merge = add_merge(books)
        first = version_of(merge)
        books.versions.publish(first, NOW)
    with pytest.raises(RegistryConflict), registry.write() as books:
        books.versions.publish(version_of(merge, 2, net_digest(first), first.routes), NOW)
    with registry.read() as books:
        assert books.versions.newest_number() == 1
        assert books.versions.get() == first


@pytest.mark.parametrize("number", [-1, 2, 2**31, 2**63, 2**64 - 1])
def test_a_number_that_no_version_has_is_not_found(registry, number):
    with registry.write() as books:
        books.versions.publish(version_of(add_merge(books)), NOW)
    with registry.read() as books:
        with pytest.raises(NotFound, match="no version"):
            books.versions.get(number)
        assert books.versions.after(max(number, 1)) == ()


# --- events --------------------------------------------------------------------------------------


def test_events_come_in_order_and_after_any_number(registry):
    with registry.write() as books:
        for subject in ("one", "two", "three"):
            books.events.add("MergeMoved", subject, NOW, category="dog", detail="planned")
    with registry.read() as books:
        first, *rest = books.events.after(0)
        assert first == EventRecord(first.event_id, "MergeMoved", "one", "dog", "planned")
        assert [event.subject for event in rest] == ["two", "three"]
        assert books.events.after(first.event_id, limit=1) == (rest[0],)
        assert books.events.after(2**64 - 1) == ()


# --- what callers may say ------------------------------------------------------------------------


@pytest.mark.parametrize("text", STRANGE_TEXTS, ids=WHAT_IS_STRANGE)
def test_any_text_may_be_asked_for(registry, text):
    with registry.read() as books:
        for ask in (books.modules.get, books.merges.get):
            with pytest.raises(NotFound):
                ask(text)
        assert books.uploads.get(text) is books.sites.certificate(text) is None
        assert books.modules.list(text) == books.merges.list(text) == ()
        assert books.sites.categories(text) == frozenset()


@pytest.mark.parametrize(("said", "kept"), STRANGE_TEXTS.items(), ids=WHAT_IS_STRANGE)
def test_any_text_may_be_a_reason(registry, said, kept):
    with registry.write() as books:
        merge = add_merge(books)
        books.merges.move(merge.status, replace(merge.status, reason=said), "EngineMissed", NOW)
        books.events.add("MergeMoved", "k", NOW, detail=said)
    with registry.read() as books:
        assert books.merges.get(merge.task.key).status.reason == kept
        assert books.merges.transitions(merge.task.key)[-1].reason == kept
        assert books.events.after(0)[0].detail == kept
