"""Rejected at admission, over real gRPC: what a site reads, what an operator may take back, what is left."""

from __future__ import annotations

import json

import pytest
from fakes.artifacts import TINY, sealed
from fakes.real_center import manifest_with, settle
from fakes.shut_door import books_of, send, zeros
from fakes.waiting import wait
from typer.testing import CliRunner

from central.admission.report import modules_tables
from central.cli import app
from central.registry.registry import Registry
from central.usecases.recall_rejection import recall_rejection
from transplant.artifact.codec import write_artifact
from transplant.artifact.digest import sha256_hex
from transplant.backends.system_clock import SystemClock
from transplant.errors import NotFound, TensorNotFinite, WeightsImplausible
from transplant.rpc.messages import UploadPhase
from transplant.types import ModuleKind, Role, Task


def rejected(center, door):
    """Bring a module of zeros into the center and see it refused; returns its site's client, too."""
    door.open.set()
    client = center.client("site-ant")
    manifest, payload = zeros()
    send(center, client, manifest, payload)
    with pytest.raises(WeightsImplausible):
        settle(client, manifest.module_id)
    return client, manifest, payload


def test_what_belongs_to_a_rejected_module_is_rejected_with_it(center, door):
    client = center.client("site-ant")
    f, payload = zeros()
    send(center, client, f, payload)
    own = {"site": "site-ant", "category": "ant"}
    g, g_payload = sealed(ModuleKind.TASK, Task.CLASSIFICATION, TINY, 3, (f.module_id,), **own)
    send(center, client, g, g_payload)
    door.open.set()
    center.serving._center.bell.ring()
    with pytest.raises(WeightsImplausible, match="constant"):
        settle(client, f.module_id)
    with pytest.raises(NotFound, match="of this task module was rejected"):
        settle(client, g.module_id)
    late, payload = sealed(ModuleKind.TASK, Task.SEGMENTATION, TINY, 4, (f.module_id,), **own)
    path = write_artifact(center.home / "outbox", late, payload)
    client.upload(client.declare(late).upload_id, path)
    with pytest.raises(NotFound, match="was rejected"):
        client.commit(late.module_id, late.payload_sha256)


def test_a_site_reads_why_its_module_was_rejected(center, door):
    door.open.set()
    client = center.client("site-ant")
    manifest, payload = zeros()
    send(center, client, manifest, payload)
    state = client.wait_for_verdict(manifest.module_id)
    assert (state.phase, state.error) == (UploadPhase.REJECTED, "WeightsImplausible")
    assert "constant" in state.reason
    assert state.figures["weights.zero_percent"] == 100.0
    for call in (lambda: client.declare(manifest), lambda: client.commit(manifest.module_id, "0" * 64)):
        with pytest.raises(WeightsImplausible, match="constant"):
            call()
    with pytest.raises(NotFound):
        center.client("site-bee").upload_status(manifest.module_id)
    store = center.serving._center.store
    wait(lambda: not store.has(manifest.payload_sha256))
    document, (row,), events = books_of(center)
    assert events == [("ModuleRejected", manifest.module_id, "WeightsImplausible")]
    assert (row.site, row.reason, row.figures) == ("site-ant", state.reason, state.figures)
    (line,) = document["modules"]
    assert (line["verdict"], line["error"]) == ("rejected", "WeightsImplausible")
    assert len(modules_tables(document)) == 1
    events = [event.kind for event in _first(center.client("ann", Role.OPERATOR).watch_events(), 1)]
    assert events == ["ModuleRejected"]


def _first(stream, count):
    return [next(stream) for _ in range(count)]


def test_an_operator_takes_a_rejection_back(center, door):
    client, manifest, payload = rejected(center, door)
    registry = Registry(center.settings.url)
    recall_rejection(registry, SystemClock(), manifest.module_id[:16])
    with pytest.raises(NotFound, match="0 rejected modules"):
        recall_rejection(registry, SystemClock(), manifest.module_id)
    registry.close()
    send(center, client, manifest, payload)
    with pytest.raises(WeightsImplausible):
        settle(client, manifest.module_id)


def test_a_rejection_leaves_the_bytes_of_others_alone(center, door):
    """Two modules of one payload: a g that claims another architecture's parent, and the honest one."""
    client = center.client("site-dog")
    dog = center.teacher("dog", tasks=(Task.CLASSIFICATION,))
    g = dog.g[Task.CLASSIFICATION]
    payload = dog.paths[g.module_id].read_bytes()
    poisoned = payload[:-4] + b"\x00\x00\xc0\x7f"
    bad = manifest_with(g, payload_sha256=sha256_hex(poisoned))
    twin = manifest_with(bad, metrics={"error": 4.0})
    door.open.set()
    center.push(dog, dog.f)
    door.open.clear()
    first, second = send(center, client, bad, poisoned), send(center, client, twin, poisoned)
    store = center.serving._center.store
    kept = []
    delete = store.delete
    store.delete = lambda sha256: (kept.append(client.upload_status(second).phase), delete(sha256))
    door.open.set()
    center.serving._center.bell.ring()
    for upload_id in (first, second):
        with pytest.raises(TensorNotFinite):
            settle(client, upload_id)
    wait(lambda: not store.has(bad.payload_sha256))
    assert kept == [UploadPhase.REJECTED]  # not before the second one was decided about


def test_a_crash_behind_a_rejection_leaves_no_payload(center, door):
    client = center.client("site-ant")
    manifest, payload = zeros()
    send(center, client, manifest, payload)
    store = center.serving._center.store
    store.delete = lambda _: None  # killed here
    door.open.set()
    center.serving._center.bell.ring()
    with pytest.raises(WeightsImplausible):
        settle(client, manifest.module_id)
    center.restart()
    assert not center.serving._center.store.has(manifest.payload_sha256)


def test_the_command_lists_modules_and_recalls_rejections(center, door):
    client, manifest, _ = rejected(center, door)
    center.push(center.teacher("dog", tasks=()))
    place = ["modules", "--home", str(center.home)]
    told = CliRunner().invoke(app, [*place, "--json"])
    document = json.loads(told.output)
    assert [row["verdict"] for row in document["modules"]] == ["registered", "rejected"]
    assert (document["near_copies"], document["outliers"]) == ([], [])
    again = CliRunner().invoke(app, [*place, "--recall", manifest.module_id[:12], "--json"])
    assert [row["verdict"] for row in json.loads(again.output)["modules"]] == ["registered", "recalled"]
    assert client.declare(manifest).missing
