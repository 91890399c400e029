"""Admission after Commit, over real gRPC: restarts, kills, order, and whom a module may come from."""

from __future__ import annotations

import os
import signal

import pytest
from fakes.artifacts import TINY, sealed
from fakes.disclosures import net, statistics_of
from fakes.real_center import real_center, settle, shared_examiner
from fakes.shut_door import books_of, send
from fakes.waiting import wait

from transplant.artifact.codec import write_artifact
from transplant.artifact.disclosed import seal_statistics
from transplant.artifact.manifest import ArchitectureModel
from transplant.errors import AdmissionPending, ManifestInvalid, NotFound, SeamMismatch, TransferForbidden
from transplant.rpc.messages import UploadPhase
from transplant.types import Architecture, ModuleKind, Task


def send_teacher(center, teacher):
    client = center.client(teacher.f.site)
    for manifest in teacher.manifests:
        payload = teacher.paths[manifest.module_id].read_bytes()
        send(center, client, manifest, payload)
    return client


def phases(client, teacher):
    return [client.upload_status(manifest.module_id).phase for manifest in teacher.manifests]


def test_commit_answers_before_the_verdict_and_a_restart_forgets_nothing(center, door):
    teacher = center.teacher("dog")
    client = send_teacher(center, teacher)
    assert phases(client, teacher) == [UploadPhase.RECEIVED] * 3
    assert client.list_modules() == []
    assert client.declare(teacher.f).missing == ()
    assert client.commit(teacher.f.module_id, teacher.f.payload_sha256) == teacher.f.module_id
    with pytest.raises(AdmissionPending, match="ask again"):
        center.client("site-dog", deadline_s=0.0).request_merge(
            teacher.f.module_id, [g.module_id for g in teacher.g.values()]
        )
    center.restart()
    client = center.client("site-dog")
    assert phases(client, teacher) == [UploadPhase.RECEIVED] * 3
    door.open.set()
    center.serving._center.bell.ring()
    for manifest in teacher.manifests:
        settle(client, manifest.module_id)
    document, rows, events = books_of(center)
    assert [row.module_id for row in rows] == [manifest.module_id for manifest in teacher.manifests]
    assert all(row.seconds > 0 and row.figures["weights.norm"] > 0 for row in rows)
    assert [event[:2] for event in events] == [
        ("ModuleAccepted", manifest.module_id) for manifest in teacher.manifests
    ]
    assert [row["verdict"] for row in document["modules"]] == ["registered"] * 3
    assert client.request_merge(teacher.f.module_id, [g.module_id for g in teacher.g.values()])[1]
    assert len(door.seen) == 3  # each was examined once
    assert not list((center.home / "uploads").iterdir())


def test_what_belongs_to_a_waiting_module_waits_with_it(center, door):
    cat = center.teacher("cat", seed=1)
    client = send_teacher(center, cat)
    statistics = seal_statistics(statistics_of(net(TINY, ModuleKind.CATEGORY)), cat.f)
    send(center, client, *statistics)  # its f is not registered, and yet it is taken
    g, payload = sealed(ModuleKind.TASK, Task.CLASSIFICATION, TINY, 3, ("e" * 64,), "site-cat", "cat")
    path = write_artifact(center.home / "outbox", g, payload)
    client.upload(client.declare(g).upload_id, path)
    with pytest.raises(NotFound, match="push it first"):  # nobody waits for what is not even here
        client.commit(g.module_id, g.payload_sha256)
    door.open.set()
    center.serving._center.bell.ring()
    for manifest in (*cat.manifests, statistics[0]):
        settle(client, manifest.module_id)
    assert [row.module_id for row in books_of(center)[1]] == [
        manifest.module_id for manifest in (*cat.manifests, statistics[0])
    ]


def test_lineage_is_checked_at_admission(center, door):
    door.open.set()
    client = center.client("site-dog")
    dog = center.teacher("dog", tasks=())
    center.push(dog)
    wide = Architecture(
        "vgg_small", (("image_px", (32,)), ("channels", (4,)), ("widths", (8, 16)), ("hidden", (8,)))
    )
    own = {"site": "site-dog", "category": "dog"}
    other, payload = sealed(ModuleKind.TASK, Task.CLASSIFICATION, wide, 3, (dog.f.module_id,), **own)
    assert other.architecture == ArchitectureModel.of(wide)
    send(center, client, other, payload)
    with pytest.raises(SeamMismatch, match="the architecture of the category module"):
        settle(client, other.module_id)
    greedy, payload = sealed(seed=4, parents=tuple(f"{digit}" * 64 for digit in "abcde"), **own)
    send(center, client, greedy, payload)
    with pytest.raises(ManifestInvalid, match="at most 4, whom it learned from"):
        settle(client, greedy.module_id)


def test_a_teacher_learns_only_from_modules_that_are_lent(center, door):
    door.open.set()
    client, other = center.client("site-dog"), center.client("site-cat")
    kept, payload = sealed(seed=5, site="site-dog", category="dog", transfer_forbidden=True)
    send(center, client, kept, payload)
    settle(client, kept.module_id)
    assert client.get_manifest(kept.module_id).transfer_forbidden
    public = "a" * 64
    sealed_by_cat = {"site": "site-cat", "category": "cat"}
    thief, payload = sealed(seed=6, parents=(kept.module_id,), **sealed_by_cat)
    send(center, other, thief, payload)
    with pytest.raises(TransferForbidden, match="site-dog does not allow"):
        settle(other, thief.module_id)
    honest, payload = sealed(seed=7, parents=(public,), **sealed_by_cat)
    send(center, other, honest, payload)
    settle(other, honest.module_id)
    own, payload = sealed(seed=8, parents=(kept.module_id,), site="site-dog", category="dog")
    send(center, client, own, payload)
    settle(client, own.module_id)
    assert client.get_manifest(own.module_id).parents == (kept.module_id,)


def test_an_examiner_that_is_killed_in_the_middle_changes_nothing(tmp_path):
    examiner = shared_examiner()
    with real_center(tmp_path, examiner=examiner) as center:
        center.push(center.teacher("cat", seed=1, tasks=()))
        client = center.client("site-dog")
        dog = center.teacher("dog", tasks=())
        os.kill(examiner.pid, signal.SIGSTOP)
        send(center, client, dog.f, dog.paths[dog.f.module_id].read_bytes())
        wait(lambda: examiner._turn.locked())
        os.kill(examiner.pid, signal.SIGKILL)
        settle(client, dog.f.module_id)
        assert client.upload_status(dog.f.module_id).figures["weights.norm"] > 0


def test_a_crash_between_the_move_and_its_note_costs_no_byte(center, door, monkeypatch):
    """The blob is in the store, the registry does not know: the site commits again and sends nothing."""
    client = center.client("site-dog", deadline_s=0.0)
    dog = center.teacher("dog", tasks=())
    path = dog.paths[dog.f.module_id]
    upload_id = client.declare(dog.f).upload_id
    client.upload(upload_id, path)

    def crash(*_):
        raise AdmissionPending("killed here")

    monkeypatch.setattr("central.registry.uploads_book.UploadsBook.receive", crash)
    with pytest.raises(AdmissionPending, match="killed here"):
        client.commit(upload_id, dog.f.payload_sha256)
    monkeypatch.undo()
    center.restart()
    client = center.client("site-dog")
    assert client.upload_status(upload_id).phase is UploadPhase.RECEIVING
    assert client.declare(dog.f).missing == ()
    door.open.set()
    client.commit(upload_id, dog.f.payload_sha256)
    settle(client, upload_id)
    assert not list((center.home / "uploads").iterdir())
