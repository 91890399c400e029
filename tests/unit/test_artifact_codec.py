"""Sealing, writing, verifying and loading modules."""

from __future__ import annotations

import math

import pytest
import torch
from fakes.artifacts import TINY, sealed, sealed_adapter, sealed_task

from transplant.artifact.codec import encode, load_module, read_manifest, seal, verify_payload, write_artifact
from transplant.artifact.digest import sha256_hex
from transplant.artifact.manifest import FeatureStatistics, parse_manifest
from transplant.errors import (
    DigestMismatch,
    ManifestInvalid,
    PayloadMalformed,
    TensorNotFinite,
    UnknownArchitecture,
)
from transplant.nets.architectures import build
from transplant.types import Architecture, Disclosure, ModuleKind, Task


@pytest.mark.parametrize("artifact", [sealed, sealed_task, sealed_adapter])
def test_there_and_back(artifact, tmp_path):
    manifest, payload = artifact()
    path = write_artifact(tmp_path / "new", manifest, payload)
    assert path.name == f"{manifest.module_id}.safetensors"
    read = read_manifest(path.with_suffix(".json"))
    assert read == manifest
    net = load_module(read, path)
    assert not net.training
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert encode(net)[0] == payload


def test_equal_weights_give_equal_bytes_and_one_id():
    assert sealed(seed=3) == sealed(seed=3)
    assert sealed(seed=3)[0].module_id != sealed(seed=4)[0].module_id


def test_the_module_id_is_the_digest_of_the_document():
    manifest, payload = sealed()
    assert manifest.module_id == sha256_hex(manifest.canonical_bytes())
    assert parse_manifest(manifest.canonical_bytes()) == manifest
    assert manifest.payload_sha256 == sha256_hex(payload)


def test_half_precision_is_kept(tmp_path):
    for dtype in (torch.float16, torch.bfloat16):
        net = build(TINY, ModuleKind.CATEGORY, None).to(dtype)
        manifest, payload = seal(
            net, site="s", category="dog", kind=ModuleKind.CATEGORY, task=None, architecture=TINY
        )
        assert {tensor.dtype for tensor in manifest.tensors} == {"f16" if dtype is torch.float16 else "bf16"}
        loaded = load_module(manifest, write_artifact(tmp_path, manifest, payload))
        for name, tensor in loaded.state_dict().items():
            assert torch.equal(tensor, net.state_dict()[name].float())


def test_other_dtypes_do_not_leave():
    net = build(TINY, ModuleKind.CATEGORY, None).double()
    with pytest.raises(PayloadMalformed, match="float64"):
        encode(net)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2e6])
def test_a_broken_weight_is_found_at_the_site(value):
    net = build(TINY, ModuleKind.CATEGORY, None)
    with torch.no_grad():
        next(net.parameters()).view(-1)[5] = value
    with pytest.raises(TensorNotFinite, match=r"layers\.0\.weight holds"):
        encode(net)


def test_sealing_checks_what_a_reader_will_check():
    net = build(TINY, ModuleKind.CATEGORY, None)
    common = {"site": "s", "category": "dog", "kind": ModuleKind.CATEGORY, "task": None, "architecture": TINY}
    with pytest.raises(ManifestInvalid, match=r"site: .*is not a name"):
        seal(net, **{**common, "site": "Not A Name"})
    with pytest.raises(ManifestInvalid, match="task: a category module"):
        seal(net, **{**common, "task": Task.SEGMENTATION})
    with pytest.raises(UnknownArchitecture):
        seal(net, **{**common, "architecture": Architecture("os.system")})
    other = Architecture(
        "vgg_small", (*TINY.hyper_parameters[:1], ("channels", (8,)), *TINY.hyper_parameters[2:])
    )
    with pytest.raises(ManifestInvalid, match="shape"):
        seal(net, **{**common, "architecture": other})
    statistics = FeatureStatistics(
        level=Disclosure.SCALE, sample_count=10, channel_mean=(0.0,), channel_variance=(1.0,)
    )
    with pytest.raises(ManifestInvalid, match=r"statistics\.channel_mean"):
        seal(net, **common, statistics=statistics)


def test_a_payload_of_another_module_is_not_written(tmp_path):
    manifest, _ = sealed(seed=1)
    with pytest.raises(DigestMismatch):
        write_artifact(tmp_path, manifest, sealed(seed=2)[1])
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_under_another_name_is_refused(tmp_path):
    manifest, payload = sealed()
    path = write_artifact(tmp_path, manifest, payload).with_suffix(".json")
    moved = path.rename(tmp_path / f"{'0' * 64}.json")
    with pytest.raises(DigestMismatch, match="holds the manifest"):
        read_manifest(moved)


def test_verifying_does_not_change_the_file(tmp_path):
    manifest, payload = sealed_task()
    path = write_artifact(tmp_path, manifest, payload)
    verify_payload(manifest, path)
    assert path.read_bytes() == payload
