"""What a site does with the center's verdicts: it waits, remembers a rejection, and sends nothing twice."""

from __future__ import annotations

import pytest
from fakes.memory_center import MemoryCenter
from fakes.taught_site import seal_squares, taught_squares

import edge.cli
from edge.outbox import EntryState, Outbox, Rejection
from edge.push import enqueue, push_outbox
from edge.site_home import SiteHome
from transplant.errors import CenterUnreachable, ManifestInvalid, NotFound, WeightsImplausible

REASON = "every weight tensor of it is constant"


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    return taught_squares(tmp_path_factory.mktemp("teacher"), count=32, batch_size=8)


@pytest.fixture
def home(tmp_path):
    return SiteHome(tmp_path / "home")


@pytest.fixture
def center(tmp_path):
    return MemoryCenter(tmp_path / "center")


def queued(taught, home):
    outbox = Outbox(home.outbox)
    sealed = seal_squares(taught, home)
    enqueue(sealed, outbox)
    return sealed, outbox


def states(outbox):
    return [entry.state for entry in outbox.entries()]


def test_a_rejection_ends_the_push_with_the_centers_own_error_and_is_remembered(taught, home, center):
    sealed, outbox = queued(taught, home)
    center.rejects = {"category": ("WeightsImplausible", REASON)}
    with pytest.raises(WeightsImplausible, match=REASON):
        push_outbox(outbox, home, center)
    assert states(outbox) == [EntryState.REJECTED, EntryState.QUEUED, EntryState.QUEUED]
    (entry, *_) = Outbox(home.outbox).entries()
    assert entry.rejection == Rejection("WeightsImplausible", REASON, {"weights.norm": 3.0})
    assert center.calls.count("upload") == 1  # what stands on a rejected module was not sent
    assert outbox.shipped_bytes() == entry.size_bytes  # it has left the site all the same
    center.calls.clear()
    with pytest.raises(WeightsImplausible, match=REASON):
        enqueue(sealed, Outbox(home.outbox))
    assert center.calls == []


def test_a_rejection_whose_answer_was_lost_is_found_at_declare(taught, home, center):
    sealed, outbox = queued(taught, home)
    center.rejections[sealed.category_module.module_id] = ("WeightsImplausible", REASON)
    with pytest.raises(WeightsImplausible, match=REASON):
        push_outbox(outbox, home, center)
    assert center.calls == ["declare", "upload_status"]
    assert states(outbox)[0] is EntryState.REJECTED


def test_what_is_no_verdict_is_not_remembered(taught, home, center):
    _, outbox = queued(taught, home)

    def refuse(call):
        if call == "declare":
            raise ManifestInvalid("a rule of this very day")

    center.before = refuse
    with pytest.raises(ManifestInvalid):
        push_outbox(outbox, home, center)
    assert states(outbox) == [EntryState.QUEUED] * 3
    center.unreachable(1)
    with pytest.raises(CenterUnreachable):
        push_outbox(outbox, home, center)
    center.before = lambda _call: None
    push_outbox(outbox, home, center)
    assert states(outbox) == [EntryState.REGISTERED] * 3


def test_a_teacher_sealed_anew_is_not_held_up_by_what_was_rejected_before(taught, home, center):
    _, outbox = queued(taught, home)
    center.rejects = {"category": ("WeightsImplausible", REASON)}
    with pytest.raises(WeightsImplausible):
        push_outbox(outbox, home, center)
    center.rejects = {}
    other = seal_squares(taught, home, site="site-b")
    enqueue(other, outbox)
    center.rejections.clear()
    entries = {entry.module_id: entry for entry in outbox.entries()}
    for entry in entries.values():  # parts of the first one can never be registered
        if entry.module_id not in {manifest.module_id for manifest in other.manifests()}:
            outbox.mark(entry.module_id, EntryState.REJECTED, rejection=Rejection("NotFound", "no parent"))
    assert len(push_outbox(outbox, home, center)) == 3


def test_rejections_are_asked_about_again_on_request_only(taught, home, center):
    sealed, outbox = queued(taught, home)
    center.rejects = {"category": ("NoSuchErrorHere", REASON)}
    with pytest.raises(Exception, match=REASON):
        push_outbox(outbox, home, center)
    center.rejects, center.rejections = {}, {}
    assert outbox.forget_rejections() == 1
    enqueue(sealed, outbox)
    assert len(push_outbox(outbox, home, center)) == 3
    assert outbox.pending() == []


def test_every_verdict_is_written_down_before_the_first_rejection_is_raised(taught, home, center):
    _, outbox = queued(taught, home)
    center.rejects = {"task": ("WeightsImplausible", REASON)}
    with pytest.raises(WeightsImplausible):
        push_outbox(outbox, home, center)
    assert states(outbox) == [EntryState.REGISTERED, EntryState.REJECTED, EntryState.REJECTED]


def test_the_command_shows_reasons_and_figures(taught, home, center, monkeypatch, capsys):
    seal_squares(taught, home)
    center.rejects = {"category": ("WeightsImplausible", REASON)}
    monkeypatch.setattr("edge.site.Site.client", lambda _self: center)
    push = ["push", "--home", str(home.root)]
    assert edge.cli.run(push) == WeightsImplausible.exit_code
    told = capsys.readouterr()
    assert f"rejected: WeightsImplausible: {REASON}" in told.out
    assert "weights.norm = 3" in told.out
    assert f"error: WeightsImplausible: {REASON}" in told.err
    center.rejects, center.rejections = {}, {}
    center.calls.clear()
    assert edge.cli.run(push) == WeightsImplausible.exit_code
    assert center.calls == []
    assert edge.cli.run([*push, "--again", "--no-request-merge"]) == 0
    assert "registered" in capsys.readouterr().out


def test_an_entry_without_a_module_at_the_center_begins_again(taught, home, center):
    """A center that was set back to an older backup does not know what it took since."""
    sealed, outbox = queued(taught, home)
    outbox.mark(sealed.category_module.module_id, EntryState.COMMITTED, "u-gone")
    push_outbox(outbox, home, center)
    assert center.registered() == {manifest.module_id for manifest in sealed.manifests()}
    with pytest.raises(NotFound):
        center.upload_status("u-gone")
