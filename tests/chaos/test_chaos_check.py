"""The checker of the chaos bench finds each broken promise that is planted, and none in a whole center."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from typing import TYPE_CHECKING

import pytest

from benchmarks.chaos import journal
from benchmarks.chaos.center import ChaosCenter
from benchmarks.chaos.check import Evidence, Harm, Promises, violations
from benchmarks.chaos.inject import ray_workers
from benchmarks.chaos.load import percentile
from benchmarks.chaos.modules import Template, make_stock, read_stock, write_stock
from benchmarks.chaos.observer import Seen
from benchmarks.chaos.plan import ALWAYS, FaultKind, schedule
from benchmarks.chaos.resume import Resumed, ResumeOutcome
from transplant.artifact.chunks import CHUNK_BYTES
from transplant.artifact.codec import load_module, write_artifact

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

A, B, C = "a" * 64, "b" * 64, "c" * 64


def whole() -> tuple[Promises, Seen, Evidence]:
    """Return a run in which nothing was broken: two modules, two versions, one merge each."""
    promises = Promises({A: "site-0", B: "site-1"}, {A, B}, {}, {A, B, C})
    seen = Seen({A}, set(), {1: {"digest-1"}}, set(), set())
    found = Evidence(
        listed=[A, B],
        told_registered=Counter([A, B]),
        told_published=Counter(["merge-1", "merge-2"]),
        version_digests={1: "digest-1", 2: "digest-2"},
        version_parents={1: None, 2: "digest-1"},
    )
    return promises, seen, found


PLANTED: dict[str, tuple[Harm, str, Callable[[Promises, Seen, Evidence], object]]] = {
    "an acknowledged module is gone": (Harm.LOST, B, lambda _p, _s, e: e.listed.remove(B)),
    "a module that was seen is gone": (Harm.LOST, C, lambda _p, s, _e: s.modules.add(C)),
    "a registered module is gone, its commit unanswered": (
        Harm.LOST, C, lambda p, _s, _e: p.registered.add(C),
    ),
    "a good module was rejected": (Harm.LOST, C, lambda p, _s, _e: p.rejected.update({C: "no"})),
    "fsck misses a blob": (
        Harm.LOST, "blob 1", lambda _p, _s, e: e.damage.append(("blob-missing", "blob 1", "")),
    ),
    "a module is listed twice": (Harm.DOUBLED, A, lambda _p, _s, e: e.listed.append(A)),
    "a module was listed twice for a moment": (Harm.DOUBLED, A, lambda _p, s, _e: s.doubled.add(A)),
    "a module was registered twice": (Harm.DOUBLED, A, lambda _p, _s, e: e.told_registered.update([A])),
    "a merge was published twice": (
        Harm.DOUBLED, "merge merge-1", lambda _p, _s, e: e.told_published.update(["merge-1"]),
    ),
    "fsck finds a merge published twice": (
        Harm.DOUBLED, "merge 1",
        lambda _p, _s, e: e.damage.append(("merge-published-twice", "merge 1", "")),
    ),
    "the log never told of a module": (Harm.TORN, A, lambda _p, _s, e: e.told_registered.pop(A)),
    "other bytes came back": (Harm.TORN, A, lambda _p, _s, e: e.faulty.update({A: "other bytes"})),
    "a version changed": (Harm.TORN, "version 1", lambda _p, s, _e: s.versions.update({1: {"other"}})),
    "a version changed for a moment": (
        Harm.TORN, "version 1", lambda _p, s, _e: s.versions[1].add("other"),
    ),
    "a version has another parent": (
        Harm.TORN, "version 2", lambda _p, _s, e: e.version_parents.update({2: "other"}),
    ),
    "a version is gone": (Harm.LOST, "version 3", lambda _p, s, _e: s.versions.update({3: {"d"}})),
    "the audit log does not hold": (
        Harm.TORN, "audit log", lambda _p, _s, e: setattr(e, "audit_fault", "entry 3 was changed"),
    ),
    "somebody else's module is visible": (
        Harm.TOO_EARLY, B, lambda p, _s, _e: p.attempted.discard(B),
    ),
    "a module was visible before its commit": (Harm.TOO_EARLY, C, lambda _p, s, _e: s.too_early.add(C)),
    "a file was left": (
        Harm.LEFTOVER, "x.part", lambda _p, _s, e: e.warnings.append(("part-without-upload", "x.part", "")),
    ),
    "the server failed": (Harm.FAILED, "server", lambda _p, _s, e: e.failures.append("incident 12")),
    "a site hangs": (
        Harm.UNFINISHED, "site-0", lambda _p, _s, e: setattr(e, "unfinished", {"site-0": "none"}),
    ),
}  # fmt: skip


def test_nothing_is_found_where_nothing_is_broken():
    assert violations(*whole()) == []


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_planted_is_found(planted: str):
    harm, where, plant = PLANTED[planted]
    state = deepcopy(whole())
    plant(*state)
    assert [(each.harm, each.where) for each in violations(*state)] == [(harm, where)]


def test_an_acknowledged_module_that_was_rejected_is_told_once():
    promises, seen, found = whole()
    promises.committed[C] = "site-1"
    promises.rejected[C] = "NaN"
    assert [each.harm for each in violations(promises, seen, found)] == [Harm.LOST]


def test_what_the_observer_notes():
    seen = Seen()
    seen.note_modules([A, B, B], attempted={A})
    assert (seen.modules, seen.doubled, seen.too_early) == ({A, B}, {B}, {B})


def test_a_schedule_is_its_seeds_and_has_every_kind():
    one = schedule(3, 40, 5)
    assert one == schedule(3, 40, 5) != schedule(4, 40, 5)
    assert {fault.kind for fault in one} == ALWAYS
    assert {fault.site for fault in one} <= set(range(5))
    more = {FaultKind.KILL_WORKER}
    assert {fault.kind for fault in schedule(0, 3, 1, kinds=more)} == more


def test_a_journal_survives_a_cut_line(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    journal.note(path, journal.COMMITTING, A)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"what": "commi')
    assert [(each.what, each.subject) for each in journal.notes(path)] == [(journal.COMMITTING, A)]
    assert list(journal.notes(tmp_path / "none")) == []


def test_modules_are_their_numbers_and_can_be_opened(tmp_path: Path):
    write_stock(make_stock("site-0", "dog", 8), tmp_path / "stock")
    stock = read_stock(tmp_path / "stock")
    made = [stock.nth(number, 1000) for number in range(7)]
    assert len({each.manifest.module_id for each in made}) == len(made)
    assert [stock.nth(number, 1000) for number in range(7)] == made
    other = make_stock("site-1", "cat", 8)
    assert shared(made[6], other.nth(6, 2000))
    assert not shared(made[5], other.nth(5, 2000))
    for each in made:
        load_module(each.manifest, write_artifact(tmp_path / "sealed", each.manifest, each.payload))
    f, g = stock.ghosts()
    assert g.manifest.parents == (f.manifest.module_id,)


def shared(one: Template, other: Template) -> bool:
    assert one.manifest.module_id != other.manifest.module_id
    return one.manifest.payload_sha256 == other.manifest.payload_sha256


def test_the_bar_of_a_resumption():
    fine = Resumed(at=10 * CHUNK_BYTES, sent=60 * CHUNK_BYTES, acknowledged=11 * CHUNK_BYTES)
    assert (fine.again_bytes, fine.beyond_bytes) == (50 * CHUNK_BYTES, CHUNK_BYTES)
    outcome = ResumeOutcome(resumed=[fine], modules=2, right=2)
    assert outcome.faults() == []
    outcome.resumed.append(Resumed(at=0, sent=2 * CHUNK_BYTES, acknowledged=CHUNK_BYTES + 1))
    outcome.right = 1
    assert len(outcome.faults()) == 2


def test_percentiles():
    assert percentile([], 99) == 0.0
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([float(each) for each in range(1, 101)], 99) == 99.0


def test_no_worker_of_others_is_touched():
    assert ray_workers("nobody's mark") == []


def test_what_counts_as_a_failure_of_the_server(tmp_path: Path):
    center = ChaosCenter(tmp_path)
    assert center.incidents() == []
    center.log.write_text(
        "2026-01-02 03:04:05,678 INFO /transplant.v1.Intake/Declare: StorageFull: no ERROR at all\n"
        "(raylet) ERROR Worker exit detail: killed\n"
        "2026-01-02 03:04:05,678 ERROR incident 0123456789ab in /transplant.v1.Intake/Commit\n"
        "Traceback (most recent call last):\n"
        '  File "x.py", line 1, in f\n'
        "ValueError: what was wrong\n"
        "2026-01-02 03:04:06,000 examiner ERROR an examination failed\n"
    )
    told = center.incidents()
    assert len(told) == 3
    assert "incident 0123456789ab" in told[0]
    assert told[1].endswith("ValueError: what was wrong")
    assert "an examination failed" in told[2]
