"""Modules come in: real gRPC, real mTLS, real SQLite, real files."""

from __future__ import annotations

import pytest
from fakes.artifacts import TINY, sealed, sealed_adapter
from fakes.raw_upload import send
from fakes.real_center import manifest_with, real_center, settle
from fakes.waiting import wait

from transplant.artifact.chunks import chunk_of
from transplant.artifact.codec import write_artifact
from transplant.artifact.digest import sha256_hex
from transplant.artifact.manifest import HyperParameter
from transplant.errors import (
    CenterUnreachable,
    CertificateInvalid,
    ChunkCorrupt,
    ChunkOutOfOrder,
    DigestMismatch,
    ManifestInvalid,
    NotAllowed,
    NotFound,
    QuotaExceeded,
    TensorNotFinite,
    TooLarge,
    UnknownArchitecture,
    UploadIncomplete,
)
from transplant.rpc import convert
from transplant.rpc.channel import load_kit, open_channel
from transplant.rpc.client import CentralClient
from transplant.rpc.messages import UploadPhase
from transplant.types import ModuleKind, Role, Task
from transplant.v1 import intake_pb2
from transplant.v1.intake_pb2_grpc import IntakeStub


@pytest.fixture(scope="module")
def center(tmp_path_factory):
    with real_center(tmp_path_factory.mktemp("center")) as running:
        yield running


@pytest.fixture(scope="module")
def stub(center):
    """Raw calls, for what the client would never send."""
    center.client("site-dog")
    kit = load_kit(center.home / "kits" / "site-site-dog")
    with open_channel(kit, center.serving.address) as channel:
        yield IntakeStub(channel)


@pytest.fixture(scope="module")
def dog(center):
    """A teacher whose category module is registered."""
    teacher = center.teacher("dog")
    center.push(teacher, teacher.f)
    return teacher


def registered(center, name="site-dog"):
    return {module.module_id for module in center.client(name).list_modules()}


def test_a_teacher_comes_in_and_declaring_again_finds_it(center):
    teacher = center.teacher("cow", seed=5)
    center.push(teacher)
    client = center.client("site-cow")
    assert {m.module_id for m in client.list_modules("cow")} == {m.module_id for m in teacher.manifests}
    again = client.declare(teacher.f)
    assert (again.registered, again.upload_id, again.missing) == (True, "", ())
    assert client.upload_status(teacher.f.module_id).registered
    assert client.commit(teacher.f.module_id, teacher.f.payload_sha256) == teacher.f.module_id
    assert client.get_manifest(teacher.f.module_id) == teacher.f
    path = client.download(teacher.f.module_id, center.home / "fetched")
    assert sha256_hex(path.read_bytes()) == teacher.f.payload_sha256


def test_a_new_stream_shuts_the_old_one_out(center, stub, dog):
    g = dog.g[Task.SEGMENTATION]
    data = dog.paths[g.module_id].read_bytes()
    upload_id = center.client("site-dog").declare(g).upload_id
    parts = center.serving._center.parts
    old = parts.take_over(upload_id)
    old.write(chunk_of(0, data[:100]))
    assert send(stub, upload_id, chunk_of(100, data[100:200])) == [200]
    with pytest.raises(ChunkOutOfOrder, match="took this upload over"):
        old.write(chunk_of(200, data[200:300]))


def test_a_corrupt_chunk_and_a_gap_are_told_apart(center, stub, dog):
    g = dog.g[Task.CLASSIFICATION]
    data = dog.paths[g.module_id].read_bytes()
    upload_id = center.client("site-dog").declare(g).upload_id
    good = chunk_of(0, data[:1000])
    with pytest.raises(ChunkCorrupt):
        send(stub, upload_id, good, type(good)(1000, data[1000:2000], 7))
    assert center.client("site-dog").upload_status(upload_id).durable_offset == 1000  # the good one is kept
    with pytest.raises(ChunkOutOfOrder):
        send(stub, upload_id, chunk_of(5000, data[5000:6000]))
    with pytest.raises(TooLarge):
        send(stub, upload_id, chunk_of(g.payload_bytes - 1, b"12"))
    with pytest.raises(UploadIncomplete):
        center.client("site-dog", deadline_s=0.1).commit(upload_id, g.payload_sha256)
    with pytest.raises(NotFound):
        send(stub, "f" * 64, good)


def test_what_is_not_the_sites_own_is_refused(center, dog):
    client = center.client("site-dog")
    other, _ = sealed(site="site-cow", category="cow")
    with pytest.raises(NotAllowed, match="the certificate says site site-dog"):
        client.declare(other)
    foreign, _ = sealed(site="site-dog", category="horse")
    with pytest.raises(NotAllowed, match="may not bring the category horse; it may bring dog"):
        client.declare(foreign)
    adapter, _ = sealed_adapter()
    with pytest.raises(NotAllowed):
        client.declare(manifest_with(adapter, site="site-dog", category="dog"))
    center.push(center.teacher("sheep", seed=9), None)
    with pytest.raises(NotFound):
        center.client("site-sheep").upload_status(dog.f.module_id)
    with pytest.raises(NotFound):
        center.client("site-sheep").get_manifest(dog.f.module_id)


def test_a_manifest_that_breaks_a_rule_opens_no_upload(center, dog):
    client = center.client("site-dog")
    before = registered(center)
    unknown = dog.f.architecture.model_copy(update={"id": "resnet152"})
    with pytest.raises(UnknownArchitecture):
        client.declare(manifest_with(dog.f, architecture=unknown))
    wide = dog.f.architecture.model_copy(
        update={"hyper_parameters": (HyperParameter(name="channels", values=(4096,)),)}
    )
    with pytest.raises((UnknownArchitecture, ManifestInvalid)):
        client.declare(manifest_with(dog.f, architecture=wide))
    with pytest.raises(TooLarge):
        client.declare(manifest_with(dog.f, payload_bytes=3 << 30))
    request = intake_pb2.DeclareRequest(manifest=convert.manifest_to_proto(dog.f))
    request.manifest.schema_version = 9
    with pytest.raises(ManifestInvalid, match="schema_version"):
        client._caller.unary(client._intake.Declare, request)
    assert registered(center) == before


def test_bytes_that_are_not_the_declared_ones_are_thrown_away(center):
    client = center.client("site-pig")
    manifest, payload = sealed(site="site-pig", category="pig", seed=3)
    broken = bytearray(payload)
    broken[-1] ^= 1
    path = write_artifact(center.home / "broken", manifest, payload)
    path.write_bytes(broken)
    upload_id = client.declare(manifest).upload_id
    client.upload(upload_id, path)
    with pytest.raises(DigestMismatch):
        client.commit(upload_id, manifest.payload_sha256)
    with pytest.raises(NotFound):
        client.upload_status(upload_id)
    assert registered(center, "site-pig") == set()
    path.write_bytes(payload)
    upload_id = client.declare(manifest).upload_id  # the site may begin again
    client.upload(upload_id, path)
    with pytest.raises(DigestMismatch, match="the commit says"):
        client.commit(upload_id, "0" * 64)
    assert client.commit(upload_id, manifest.payload_sha256) == manifest.module_id


def test_a_nan_weight_is_refused_and_nothing_is_registered(center):
    client = center.client("site-ant")
    manifest, payload = sealed(site="site-ant", category="ant")
    poisoned = payload[:-4] + b"\x00\x00\xc0\x7f"
    manifest = manifest_with(manifest, payload_sha256=sha256_hex(poisoned))
    path = write_artifact(center.home / "poisoned", manifest, poisoned)
    upload_id = client.declare(manifest).upload_id
    client.upload(upload_id, path)
    client.commit(upload_id, manifest.payload_sha256)
    with pytest.raises(TensorNotFinite):
        settle(client, upload_id)
    assert registered(center, "site-ant") == set()
    wait(lambda: not center.serving._center.store.has(manifest.payload_sha256))
    for again in (lambda: client.declare(manifest), lambda: client.commit(upload_id, "0" * 64)):
        with pytest.raises(TensorNotFinite):
            again()  # not one byte is asked for a second time


def test_a_task_module_needs_its_own_registered_category_module(center, dog):
    client = center.client("site-bee")
    own = {"site": "site-bee", "category": "bee"}

    def ship(parents):
        g, payload = sealed(ModuleKind.TASK, Task.CLASSIFICATION, TINY, 3, parents, **own)
        path = write_artifact(center.home / "bee", g, payload)
        upload_id = client.declare(g).upload_id
        client.upload(upload_id, path)
        client.commit(upload_id, g.payload_sha256)
        settle(client, upload_id)

    with pytest.raises(ManifestInvalid):
        ship((dog.f.module_id,))
    with pytest.raises(NotFound, match="push it first"):
        ship(("e" * 64,))
    orphan, _ = sealed(ModuleKind.TASK, Task.CLASSIFICATION, TINY, 3, ("e" * 64,), **own)
    state = client.upload_status(orphan.module_id)
    assert (state.phase, state.missing) == (UploadPhase.RECEIVING, ())  # it may come once its f is here
    assert registered(center, "site-bee") == set()


def test_quotas_hold(tmp_path):
    with real_center(tmp_path, site_quota_bytes=3000, open_uploads=1) as center:
        client = center.client("site-dog")
        teacher = center.teacher("dog")
        with pytest.raises(QuotaExceeded, match="its quota is 3000"):
            client.declare(teacher.g[Task.CLASSIFICATION])
        client.declare(teacher.f)
        other, _ = sealed(site="site-dog", category="dog", seed=8)
        with pytest.raises(QuotaExceeded, match="uploads open"):
            client.declare(other)
        assert client.declare(teacher.f).missing  # the open one may go on


def test_only_this_centers_certificates_get_in(center, tmp_path):
    with real_center(tmp_path) as stranger:
        kit = load_kit(stranger.kit("site-dog", categories=("dog",)))
        address = center.serving.address
    with (
        CentralClient(kit, address, policy=center.client("site-dog")._caller.policy) as client,
        pytest.raises((CertificateInvalid, CenterUnreachable)),
    ):
        client.list_modules()


def test_roles_limit_the_calls(center, dog):
    reader = center.client("ann", Role.READER)
    with pytest.raises(NotAllowed, match="reader ann has no right"):
        reader.declare(dog.f)
    assert reader.list_modules() == []
    operator = center.client("bob", Role.OPERATOR)
    assert dog.f.module_id in {module.module_id for module in operator.list_modules()}
    with pytest.raises(NotAllowed):
        operator.fetch_candidates()
