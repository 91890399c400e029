"""Downloads: resumed, verified, and never half a file under the module's name."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.artifacts import sealed_task
from fakes.center import FakeCenter
from fakes.pki import Authority

from transplant.artifact.chunks import chunk_of
from transplant.artifact.codec import load_module, read_manifest
from transplant.artifact.compression import Squeezer
from transplant.artifact.encoding import Encoding
from transplant.errors import CenterUnreachable, ChunkCorrupt, DigestMismatch, NotFound, StorageFull
from transplant.rpc.client import CentralClient
from transplant.rpc.retry import RetryPolicy
from transplant.v1 import chunk_pb2


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(scope="module")
def artifact():
    return sealed_task()


@pytest.fixture
def center(authority, artifact):
    center = FakeCenter(authority.cert, authority.server())
    center.state.modules[artifact[0].module_id] = artifact
    yield center
    center.stop()


@pytest.fixture
def client(authority, center):
    policy = RetryPolicy(deadline_s=60, first_s=0.01, longest_s=0.05)
    with CentralClient(authority.kit(center.address), policy=policy) as client:
        yield client


@pytest.fixture
def impatient(authority, center):
    with CentralClient(authority.kit(center.address), policy=RetryPolicy(deadline_s=0)) as client:
        yield client


def _cut():
    raise CenterUnreachable("the link is cut")


def test_fetches_a_module_that_loads(client, artifact, tmp_path):
    manifest, payload = artifact
    progress = []
    path = client.download(manifest.module_id, tmp_path, lambda done, size: progress.append((done, size)))
    assert path.read_bytes() == payload
    assert progress[-1] == (len(payload), len(payload))
    assert read_manifest(path.with_suffix(".json")) == manifest
    load_module(manifest, path)
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".safetensors"]


def test_resumes_after_a_cut_where_it_stopped(client, center, artifact, tmp_path):
    center.state.chunk_faults = [None, None, _cut]
    path = client.download(artifact[0].module_id, tmp_path)
    assert path.read_bytes() == artifact[1]
    assert len(center.state.download_offsets) == 2
    assert 0 < center.state.download_offsets[1] <= 2 << 18


def test_resumes_what_an_earlier_process_left(client, center, artifact, tmp_path):
    manifest, payload = artifact
    (tmp_path / f"{manifest.module_id}.part").write_bytes(payload[:1000])
    assert client.download(manifest.module_id, tmp_path).read_bytes() == payload
    assert center.state.download_offsets == [1000]


def test_a_damaged_part_is_fetched_anew(client, center, artifact, tmp_path):
    manifest, payload = artifact
    (tmp_path / f"{manifest.module_id}.part").write_bytes(bytes(1000))
    assert client.download(manifest.module_id, tmp_path).read_bytes() == payload
    assert center.state.download_offsets == [1000, 0]


def test_a_part_longer_than_the_payload_is_dropped(client, center, artifact, tmp_path):
    manifest, payload = artifact
    (tmp_path / f"{manifest.module_id}.part").write_bytes(payload + b"more")
    assert client.download(manifest.module_id, tmp_path).read_bytes() == payload
    assert center.state.download_offsets == [0]


def test_a_module_that_is_there_is_not_fetched_again(client, center, artifact, tmp_path):
    client.download(artifact[0].module_id, tmp_path)
    client.download(artifact[0].module_id, tmp_path)
    assert center.state.download_offsets == [0]


def test_a_chunk_damaged_on_the_way_is_fetched_again(client, center, artifact, tmp_path):
    damaged = []

    def damage_once(chunk):
        if damaged or not chunk.offset:
            return chunk
        damaged.append(chunk.offset)
        return replace(chunk, data=b"?" + chunk.data[1:])

    center.state.mangle = damage_once
    assert client.download(artifact[0].module_id, tmp_path).read_bytes() == artifact[1]
    assert damaged
    assert center.state.download_offsets == [0, damaged[0]]


def test_a_link_that_always_damages_ends_at_the_deadline(impatient, center, artifact, tmp_path):
    center.state.mangle = lambda chunk: replace(chunk, crc32c=chunk.crc32c ^ 1)
    with pytest.raises(ChunkCorrupt):
        impatient.download(artifact[0].module_id, tmp_path)
    assert not (tmp_path / f"{artifact[0].module_id}.safetensors").exists()


def test_a_center_that_sends_other_bytes_is_caught(client, center, artifact, tmp_path):
    center.state.mangle = lambda chunk: chunk_of(chunk.offset, bytes(len(chunk.data)))
    with pytest.raises(DigestMismatch, match="has not the digest"):
        client.download(artifact[0].module_id, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_of_another_module_is_caught(client, center, artifact, tmp_path):
    asked = "0" * 64
    center.state.modules[asked] = artifact
    with pytest.raises(DigestMismatch, match="asked for module 000"):
        client.download(asked, tmp_path)


def test_a_stream_that_ends_early_is_continued(client, center, artifact, tmp_path):
    ended = []

    def end_once(chunk):
        if not ended and chunk.offset:
            ended.append(chunk.offset)
            return None
        return chunk

    center.state.mangle = end_once
    assert client.download(artifact[0].module_id, tmp_path).read_bytes() == artifact[1]
    assert center.state.download_offsets == [0, ended[0]]


# --- compressed chunks ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def squeezable():
    """A module whose bytes are worth compressing."""
    return sealed_task(encoding=Encoding.BF16)


def sent_bytes(center):
    return sum(len(response.data) for response in center.state.sent)


def test_weights_in_bf16_come_in_fewer_bytes(client, center, squeezable, tmp_path):
    manifest, payload = squeezable
    center.state.modules[manifest.module_id] = squeezable
    progress = []
    path = client.download(manifest.module_id, tmp_path, lambda done, size: progress.append((done, size)))
    assert path.read_bytes() == payload
    assert sent_bytes(center) < 0.85 * len(payload)
    assert progress[-1] == (len(payload), len(payload))


def test_other_weights_come_as_they_are(client, center, artifact, tmp_path):
    client.download(artifact[0].module_id, tmp_path)
    assert {response.compression for response in center.state.sent} == {chunk_pb2.COMPRESSION_UNSPECIFIED}
    assert sent_bytes(center) == len(artifact[1])


def test_a_compressed_download_resumes_at_the_payloads_own_offset(client, center, squeezable, tmp_path):
    manifest, payload = squeezable
    center.state.modules[manifest.module_id] = squeezable
    center.state.chunk_faults = [None, _cut]
    assert client.download(manifest.module_id, tmp_path).read_bytes() == payload
    assert center.state.download_offsets == [0, 1 << 18]


def test_a_center_that_knows_no_compression_is_asked_again_without(client, center, squeezable, tmp_path):
    manifest, payload = squeezable
    center.state.modules[manifest.module_id] = squeezable
    center.state.compresses = False
    center.state.chunk_faults = [None, _cut]
    assert client.download(manifest.module_id, tmp_path).read_bytes() == payload
    assert center.state.download_offsets == [0, 1 << 18]
    assert sent_bytes(center) == len(payload)


def test_a_frame_that_is_none_is_fetched_again(client, center, squeezable, tmp_path, monkeypatch):
    manifest, payload = squeezable
    center.state.modules[manifest.module_id] = squeezable
    broken = []

    def squeeze_badly(self, data):
        if broken:
            return squeeze(self, data)
        broken.append(data)
        return b"not a frame"

    squeeze = Squeezer.squeeze
    monkeypatch.setattr("transplant.artifact.compression.Squeezer.squeeze", squeeze_badly)
    assert client.download(manifest.module_id, tmp_path).read_bytes() == payload
    assert center.state.download_offsets == [0, 0]


def test_an_unknown_module_is_not_found(client, tmp_path):
    with pytest.raises(NotFound, match="no module"):
        client.download("1" * 64, tmp_path)


def test_a_full_disk_at_the_site_says_so(impatient, artifact, tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("transplant.rpc.download.os.fsync", full)
    with pytest.raises(StorageFull, match=r"no room left to write .*part"):
        impatient.download(artifact[0].module_id, tmp_path)
    assert not list(Path(tmp_path).glob("*.safetensors"))
