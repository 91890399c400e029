"""A worker learns where its order says, and what it leaves tells where that was."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fakes.artifacts import TINY, sealed
from fakes.other_device import install

from central.merge.execute import execute
from central.merge.orders import WorkOrder
from central.merge.tasks import Host, MergeTask, learner_document
from central.merge.workshop import Workbench
from transplant.artifact.manifest import parse_manifest
from transplant.backends.local_blob_store import LocalBlobStore
from transplant.types import ModuleKind, Task

LEARNER = {
    "layers": 1, "steps": 2, "batch": 4, "candidates": 1, "synthetic_images": 8, "held_out_images": 4,
    "nudged_share": 0.0,
}  # fmt: skip


@pytest.fixture
def order(tmp_path) -> WorkOrder:
    f, g, host_f, host_g = (
        sealed(kind, task, TINY, seed, parents=() if task is None else ("a" * 64,))
        for seed, (kind, task) in enumerate(
            2 * [(ModuleKind.CATEGORY, None), (ModuleKind.TASK, Task.CLASSIFICATION)]
        )
    )
    store = LocalBlobStore(tmp_path / "blobs")
    for _, payload in (f, g, host_f, host_g):
        store.put_bytes(payload)
    host = Host("dog", host_f[0].module_id, host_g[0].module_id)
    ids = (f[0].module_id, g[0].module_id)
    task = MergeTask("cat", Task.CLASSIFICATION, "site-cat", *ids, host, learner_document(LEARNER))
    f, g, host_f, host_g = (manifest.canonical_bytes().decode() for manifest, _ in (f, g, host_f, host_g))
    manifests = (f, g, host_f, host_g)
    return WorkOrder(
        task.key, task.to_document().decode(), manifests, str(tmp_path / "blobs"), str(tmp_path / "bench")
    )


def done(order: WorkOrder, bench: str):
    """Return the outcome of an order on a bench of its own."""
    workbench = Workbench(Path(bench))
    workbench.prepare()
    execute(replace(order, bench=bench))
    return workbench.outcome()


def test_only_what_a_gpu_learned_says_so(order, tmp_path, monkeypatch):
    at_home = done(replace(order, device="cpu"), str(tmp_path / "home"))
    assert at_home.error == ""
    assert "on_gpu" not in at_home.figures
    install(monkeypatch)
    away = done(replace(order, device="cuda"), str(tmp_path / "away"))
    assert away.error == ""
    assert away.figures == pytest.approx(at_home.figures | {"on_gpu": 1.0}, rel=1e-4)
    manifests = [parse_manifest(outcome.manifest) for outcome in (at_home, away)]
    assert manifests[1].metrics["on_gpu"] == 1.0
    assert manifests[0].tensors == manifests[1].tensors
    assert (tmp_path / "away" / "adapter.safetensors").is_file()


def test_a_gpu_that_is_not_there_is_a_mistake_of_the_settings(order, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    outcome = done(replace(order, device="cuda"), str(tmp_path / "bench"))
    assert outcome.error == "InvalidSettings"
    assert "sees no GPU" in outcome.message
    assert done(order, str(tmp_path / "other")).error == "", "auto takes the CPU"


def test_what_a_killed_worker_had_not_finished_goes_with_the_result(order, tmp_path):
    bench = tmp_path / "bench"
    assert done(order, str(bench)).error == ""
    (bench / ".progress.json.4711.tmp").write_bytes(b"half")
    (bench / ".k3j2h1.tmp").write_bytes(b"half")
    Workbench(bench).tidy()
    assert sorted(path.name for path in bench.iterdir()) == ["cost.json", "progress.json"]


def test_no_merge_ends_for_want_of_room_for_news(order, tmp_path, monkeypatch, caplog):
    write = Path.write_bytes

    def full(path, data):
        if path.name.startswith((".progress", ".cost")):
            write(path, b"")
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    outcome = done(order, str(tmp_path / "bench"))
    assert outcome.error == ""
    assert "no room left to write" in caplog.text
    assert not list((tmp_path / "bench").glob(".*.tmp"))
    assert Workbench(tmp_path / "bench").progress().total_steps == 0


def test_a_stop_sign_that_finds_no_room_is_put_up_the_next_time(tmp_path, monkeypatch):
    bench = Workbench(tmp_path)
    with monkeypatch.context() as full:

        def touch(_path, **_):
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr(Path, "touch", touch)
        bench.ask_to_stop()
    assert not bench.stopped()
    bench.ask_to_stop()
    assert bench.stopped()
