"""Uploads that were broken off go on where they were: a center that starts again, a disk that was full."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from fakes.artifacts import sealed
from fakes.raw_upload import send
from fakes.real_center import real_center

from transplant.artifact.chunks import chunk_of
from transplant.artifact.codec import write_artifact
from transplant.errors import StorageFull
from transplant.rpc.channel import load_kit, open_channel
from transplant.types import Architecture, ByteRange, Task
from transplant.v1.intake_pb2_grpc import IntakeStub

LARGE = Architecture(
    "vgg_small", (("image_px", (32,)), ("channels", (32,)), ("widths", (256, 256)), ("hidden", (1024,)))
)


@pytest.fixture
def center(tmp_path):
    with real_center(tmp_path) as running:
        yield running


def test_an_upload_goes_on_at_the_durable_offset_after_a_restart(center):
    teacher = center.teacher("dog", architecture=LARGE, tasks=(Task.CLASSIFICATION,))
    center.push(teacher, teacher.f)
    g = teacher.g[Task.CLASSIFICATION]
    assert g.payload_bytes > 3 << 20
    data = teacher.paths[g.module_id].read_bytes()
    upload_id = center.client("site-dog").declare(g).upload_id
    with open_channel(load_kit(center.home / "kits" / "site-site-dog"), center.serving.address) as channel:
        chunks = [chunk_of(start << 20, data[start << 20 : (start + 1) << 20]) for start in range(2)]
        assert send(IntakeStub(channel), upload_id, *chunks)[-1] == 2 << 20
    center.restart()
    client = center.client("site-dog")
    assert client.declare(g).missing == (ByteRange(2 << 20, g.payload_bytes),)
    seen = []
    client.upload(upload_id, teacher.paths[g.module_id], lambda done, _: seen.append(done))
    assert seen[0] == 2 << 20
    assert client.commit(upload_id, g.payload_sha256) == g.module_id
    assert not list((center.home / "uploads").iterdir())


def test_a_full_disk_is_said_and_the_upload_goes_on_later(center, monkeypatch):
    client = center.client("site-fox", deadline_s=0.3)
    manifest, payload = sealed(site="site-fox", category="fox", seed=4)
    path = write_artifact(center.home / "fox", manifest, payload)
    upload_id = client.declare(manifest).upload_id
    real_write = os.pwrite

    def full(descriptor, data, offset):
        if f"{upload_id}.part" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageFull):
        client.upload(upload_id, path)
    monkeypatch.undo()
    assert client.upload_status(upload_id).durable_offset == 0
    client.upload(upload_id, path)
    assert client.commit(upload_id, manifest.payload_sha256) == manifest.module_id
