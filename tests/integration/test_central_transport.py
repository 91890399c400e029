"""What carries a payload at the center: one blob for one content, and no chunk kept while one is awaited."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

import pytest
import torch
from fakes.artifacts import TINY
from fakes.real_center import manifest_with, real_center

from central.settings import read_settings
from central.usecases.receive_chunks import receive_chunks
from transplant.artifact.chunks import SENT_BYTES, STREAM_AHEAD_BYTES, chunk_of
from transplant.artifact.codec import seal, write_artifact
from transplant.artifact.encoding import Encoding
from transplant.errors import InvalidSettings
from transplant.nets.architectures import build
from transplant.rpc.channel import server_options
from transplant.rpc.convert_chunks import ChunksFromProto
from transplant.types import Identity, ModuleKind, Role
from transplant.v1 import chunk_pb2
from transplant.v1.catalog_pb2 import DownloadRequest

if TYPE_CHECKING:
    from transplant.rpc.client import CentralClient


@pytest.fixture(scope="module")
def center(tmp_path_factory):
    with real_center(tmp_path_factory.mktemp("transport") / "home") as center:
        yield center


def test_two_uploads_of_the_same_content_at_once_are_two_modules_and_one_blob(center):
    teacher = center.teacher("dog")
    path = teacher.paths[teacher.f.module_id]
    training = teacher.f.training
    manifests = [
        manifest_with(teacher.f, training=training.model_copy(update={"seed": seed})) for seed in range(3)
    ]
    together = threading.Barrier(len(manifests))
    registered = []

    def ship(client: CentralClient, manifest):
        declared = client.declare(manifest)
        together.wait()
        client.upload(declared.upload_id, path, sha256=manifest.payload_sha256)
        client.commit(declared.upload_id, manifest.payload_sha256)
        registered.append(client.wait_for_verdict(declared.upload_id).registered)

    clients = [center.client("site-dog", deadline_s=30.0) for _ in manifests]
    threads = [threading.Thread(target=ship, args=pair) for pair in zip(clients, manifests, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert registered == [True, True, True]
    assert len({manifest.module_id for manifest in manifests}) == 3
    blobs = [each for each in (center.home / "store").rglob("*") if each.is_file()]
    assert [blob.name for blob in blobs] == [teacher.f.payload_sha256]
    assert blobs[0].read_bytes() == path.read_bytes()


@pytest.mark.parametrize("encoding", [Encoding.BF16, Encoding.INT8])
def test_an_encoded_module_comes_in_compressed_and_is_stored_as_it_was_sealed(center, tmp_path, encoding):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        net = build(TINY, ModuleKind.CATEGORY, None)
    f, payload = seal(
        net, site="site-deer", category="deer", kind=ModuleKind.CATEGORY, task=None, architecture=TINY,
        encoding=encoding,
    )  # fmt: skip
    path, client = write_artifact(tmp_path, f, payload), center.client("site-deer", deadline_s=30.0)
    declared = client.declare(f)
    client.upload(declared.upload_id, path, sha256=f.payload_sha256, squeezed=True)
    client.commit(declared.upload_id, f.payload_sha256)
    client.wait_for_verdict(f.module_id).raise_rejection()
    back = client.download(f.module_id, tmp_path / "back")
    assert back.read_bytes() == payload
    for accepted in (chunk_pb2.COMPRESSION_UNSPECIFIED, chunk_pb2.COMPRESSION_ZSTD):
        request = DownloadRequest(module_id=f.module_id, offset=100, length=1000, accepted=accepted)
        (response,) = client._catalog.Download(request)
        assert response.compression == accepted
        assert ChunksFromProto().read(response) == chunk_of(100, payload[100:1100])


def test_whoever_waits_for_a_chunk_keeps_none(center):
    teacher = center.teacher("cat")
    client = center.client("site-cat")
    declared = client.declare(teacher.f)
    content = teacher.paths[teacher.f.module_id].read_bytes()
    third = -(-len(content) // 3)
    assert third <= SENT_BYTES
    kept = []

    def chunks():
        previous = None
        for offset in range(0, len(content), third):
            kept.append(previous is not None and previous() is not None)
            chunk = chunk_of(offset, content[offset : offset + third])
            previous = weakref.ref(chunk)
            yielded = declared.upload_id, chunk
            del chunk
            yield yielded
            del yielded
        kept.append(previous is not None and previous() is not None)

    serving = center.serving
    assert serving is not None
    offsets = list(receive_chunks(serving._center, Identity(Role.SITE, "site-cat"), chunks()))
    assert offsets[-1] == len(content)
    assert kept == [False] * 4


def test_how_much_may_be_under_way_is_the_operators_to_say(tmp_path, monkeypatch):
    given = []

    def noted(ahead_bytes):
        given.append(server_options(ahead_bytes))
        return given[-1]

    monkeypatch.setattr("central.servicers.server.server_options", noted)
    for number, chosen in enumerate(({}, {"stream_ahead_bytes": 4 << 20})):
        with real_center(tmp_path / str(number), **chosen) as center:
            assert center.client("site-dog").list_merges() == []
    ahead = [dict(options)["grpc.http2.lookahead_bytes"] for options in given]
    assert ahead == [STREAM_AHEAD_BYTES, 4 << 20]
    assert all(dict(options)["grpc.http2.bdp_probe"] == 0 for options in given)
    for wrong in (1 << 10, 1 << 30):
        with pytest.raises(InvalidSettings, match="stream_ahead_bytes"):
            read_settings({"home": tmp_path, "stream_ahead_bytes": wrong})
