"""Seal, outbox, push, pull, verdicts: each step may be cut off anywhere and done again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fakes.taught_site import seal_squares, taught_squares

from edge.datasets.site_dataset import Split
from edge.disclosing import Policy
from edge.evaluate import measure_net
from edge.outbox import EntryState, Outbox
from edge.pull import load_net, net_folder, pull_version, read_version
from edge.push import enqueue, push_outbox
from edge.report import report_lines, write_report
from edge.seal import payload_path, read_sealed
from edge.site_home import SiteHome, read_document
from edge.validate import answer_candidates
from transplant.errors import (
    ArtifactRejected,
    CenterUnreachable,
    CheckpointInvalid,
    InvalidSettings,
    NotFound,
    StorageFull,
)
from transplant.nets.temperature import HOTTEST, TEMPERATURE
from transplant.types import Disclosure, MergeState, ModuleKind, Task

TASKS = (Task.CLASSIFICATION, Task.SEGMENTATION)


class KilledError(BaseException):
    """Stands for kill -9: nothing of ours catches it."""


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """One trained teacher, shared: only its artifacts differ between the tests."""
    return taught_squares(tmp_path_factory.mktemp("teacher"), count=32, batch_size=8)


def test_a_seal_says_what_it_is_and_where_it_comes_from(taught, home):
    sealed = seal_squares(taught, home)
    f, classification, segmentation = sealed.manifests()
    assert (f.kind, f.task, f.parents) == (ModuleKind.CATEGORY, None, ())
    assert classification.parents == segmentation.parents == (f.module_id,)
    assert (classification.task, segmentation.task) == TASKS
    assert "validation_error" in classification.metrics
    both = [each.metrics["validation_temperature"] for each in (classification, segmentation)]
    assert all(0 < temperature <= HOTTEST for temperature in both)
    assert "validation_iou" in segmentation.metrics
    assert f.training.sample_count == 32
    assert f.training.raw_bytes == 3 * 32 * (4 * 1024 + 1)
    assert f.statistics.level is Disclosure.NONE


def test_the_same_teacher_is_sealed_the_same_and_read_back(taught, home, tmp_path):
    sealed = seal_squares(taught, home)
    assert seal_squares(taught, home) == read_sealed(home) == sealed
    assert seal_squares(taught, SiteHome(tmp_path / "other")) == sealed
    assert seal_squares(taught, home, site="site-b") != sealed


def test_scale_needs_enough_images(taught, home):
    with pytest.raises(Exception, match="needs 100 images"):
        seal_squares(taught, home, policy=Policy(Disclosure.SCALE))
    with pytest.raises(NotFound, match="nothing is sealed"):
        read_sealed(home)


def test_the_outbox_keeps_order_and_states(taught, home):
    sealed, outbox = seal_squares(taught, home), Outbox(home.outbox)
    enqueue(sealed, outbox)
    enqueue(sealed, outbox)
    ids = [manifest.module_id for manifest in sealed.manifests()]
    assert [entry.module_id for entry in outbox.entries()] == ids
    outbox.mark(ids[0], EntryState.COMMITTED)
    outbox.put(sealed.manifests()[0])
    assert [entry.module_id for entry in outbox.pending()] == ids  # the center has not decided
    outbox.mark(ids[0], EntryState.REGISTERED)
    assert [entry.module_id for entry in outbox.pending()] == ids[1:]
    first = sealed.manifests()[0]
    assert outbox.shipped_bytes() == first.payload_bytes + len(first.canonical_bytes())
    with pytest.raises(NotFound):
        outbox.mark("f" * 64, EntryState.DECLARED)


def test_a_damaged_entry_is_named(home):
    home.outbox.mkdir(parents=True)
    (home.outbox / "x.json").write_text('{"sequence": 1}')
    with pytest.raises(CheckpointInvalid, match=r"x\.json"):
        Outbox(home.outbox).entries()
    (home.outbox / "x.json").write_text("[]")
    with pytest.raises(CheckpointInvalid, match="no JSON object"):
        Outbox(home.outbox).entries()


@pytest.mark.parametrize("moment", ["declare", "upload", "commit", "wait_for_verdict"])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_push_killed_anywhere_ships_everything_once(taught, home, center, moment, which):
    sealed = seal_squares(taught, home)
    enqueue(sealed, Outbox(home.outbox))

    def kill(call):
        if call == moment and center.calls.count(moment) == which + 1:
            center.before = lambda _call: None
            raise KilledError

    center.before = kill
    with pytest.raises(KilledError):
        push_outbox(Outbox(home.outbox), home, center)
    enqueue(read_sealed(home), Outbox(home.outbox))
    push_outbox(Outbox(home.outbox), home, center)
    assert Outbox(home.outbox).pending() == []
    assert center.registered() == {manifest.module_id for manifest in sealed.manifests()}
    calls = len(center.calls)
    assert push_outbox(Outbox(home.outbox), home, center) == []
    assert len(center.calls) == calls


def test_a_commit_whose_answer_was_lost_is_found_registered(taught, home, center):
    sealed, outbox = seal_squares(taught, home), Outbox(home.outbox)
    enqueue(sealed, outbox)
    push_outbox(outbox, home, center)
    outbox.mark(sealed.category_module.module_id, EntryState.DECLARED)
    center.calls.clear()
    push_outbox(outbox, home, center)
    assert center.calls == ["declare"]
    assert outbox.pending() == []


def test_an_absent_center_leaves_the_queue_in_place(taught, home, center):
    outbox = Outbox(home.outbox)
    enqueue(seal_squares(taught, home), outbox)
    center.unreachable(1)
    with pytest.raises(CenterUnreachable):
        push_outbox(outbox, home, center)
    assert len(outbox.pending()) == 3


def test_pull_verifies_caches_and_measures(taught, home, center, tmp_path):
    sealed, (teacher, data) = seal_squares(taught, home), taught
    enqueue(sealed, Outbox(home.outbox))
    push_outbox(Outbox(home.outbox), home, center)
    with pytest.raises(NotFound):
        pull_version(center, home)
    ids = [manifest.module_id for manifest in sealed.manifests()]
    center.request_merge(ids[0], ids[1:])
    other = SiteHome(tmp_path / "other")
    version = pull_version(center, other)
    assert read_version(other) == version
    assert (version.number, len(version.routes)) == (2, 2)
    assert center.calls.count("download") == 3
    pull_version(center, other)
    pull_version(center, home)  # its own modules lie there already
    assert center.calls.count("download") == 3
    with pytest.raises(NotFound, match="version 1"):
        read_version(other, 1)
    figures = measure_net(teacher.net, load_net(other, version), "square", TASKS, data.load(Split.TEST))
    for route in figures:
        assert route.transplanted == route.teacher  # the founder's own modules, h the identity
        assert route.floor.keys() == route.teacher.keys()
    report = write_report(
        home, site="site-a", category="square", version=2, routes=figures,
        states={Task.CLASSIFICATION: MergeState.PUBLISHED}, raw_bytes=data.raw_bytes,
    )  # fmt: skip
    assert json.loads(home.report.read_text()) == report
    assert report["bytes_shipped"] > 100_000
    assert [route["state"] for route in report["routes"]] == ["published", ""]
    assert any("transplanted" in line for line in report_lines(report))


def test_a_module_that_changed_on_the_disk_is_refused(taught, home):
    sealed = seal_squares(taught, home)
    path = payload_path(home.sealed, sealed.category_module.module_id)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactRejected):
        net_folder(home).load(sealed.category_module.module_id)
    with pytest.raises(NotFound, match="pull first"):
        net_folder(home).load("e" * 64)


def test_candidates_are_answered_once_and_again_after_a_crash(taught, home, center):
    teacher, data = taught
    founder = SiteHome(home.root / "founder")
    for site, category in ((founder, "circle"), (home, "square")):
        sealed = seal_squares(taught, site, category=category, site=f"site-{category}")
        enqueue(sealed, Outbox(site.outbox))
        push_outbox(Outbox(site.outbox), site, center)
        ids = [manifest.module_id for manifest in sealed.manifests()]
        center.request_merge(ids[0], ids[1:])

    def answer(**changes):
        options = {"category": "square", "tasks": TASKS, "data": data.load(Split.VALIDATION)} | changes
        return answer_candidates(center, home, teacher.net, **options)

    assert answer(category="triangle") == []

    def kill(call):
        if call == "report_verdict":
            center.before = lambda _call: None
            raise KilledError

    center.before = kill
    with pytest.raises(KilledError):
        answer()
    (written,) = home.verdicts.glob("*.json")
    sent = answer()
    assert sent[0].merge_key == written.stem
    assert len(center.verdicts) == 2
    for verdict in center.verdicts:
        assert verdict.sample_count == 32
        assert verdict.teacher.keys() == verdict.floor.keys()
        assert verdict.transplanted.keys() == verdict.teacher.keys() | {TEMPERATURE}
        assert 0 < verdict.transplanted[TEMPERATURE] <= HOTTEST
    assert answer() == []


def test_a_candidate_decided_meanwhile_is_no_failure(taught, home, center):
    test_candidates_are_answered_once_and_again_after_a_crash(taught, home, center)
    (key, route) = next(iter((key, route) for key, (route, _) in center.states.items() if route.adapter))
    center.fetch_candidates = lambda: [(key, route)]
    teacher, data = taught
    assert answer_candidates(center, home, teacher.net, "square", TASKS, data.load(Split.VALIDATION)) == []


def test_one_process_works_in_a_home(home):
    with home.locked(), pytest.raises(InvalidSettings, match="another transplant-edge"), home.locked():
        pass
    with home.locked():
        pass


def test_a_full_disk_is_a_typed_error_and_leaves_the_queue(taught, home, monkeypatch):
    sealed, outbox = seal_squares(taught, home), Outbox(home.outbox)
    enqueue(sealed, outbox)
    before = outbox.entries()

    def full(*_: object) -> None:
        raise StorageFull("no room left")

    monkeypatch.setattr("edge.site_home.write_durably", full)
    with pytest.raises(StorageFull):
        outbox.mark(before[0].module_id, EntryState.COMMITTED)
    assert outbox.entries() == before
    assert read_document(home.outbox / "nothing.json") is None


def test_replacing_a_state_changes_nothing_else(taught, home):
    sealed, outbox = seal_squares(taught, home), Outbox(home.outbox)
    entry = outbox.put(sealed.category_module)
    moved = outbox.mark(entry.module_id, EntryState.DECLARED, "u-1")
    assert moved == replace(entry, state=EntryState.DECLARED, upload_id="u-1") == outbox.entries()[0]
