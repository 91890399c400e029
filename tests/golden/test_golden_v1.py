"""What the first version wrote is read for ever, byte for byte and under the same ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from transplant.artifact.codec import encode, encode_tensors, load_module, verify_payload
from transplant.artifact.disclosed import load_answers, load_statistics
from transplant.artifact.manifest import parse_manifest
from transplant.artifact.net_document import net_digest, net_document, parse_net_document
from transplant.datafree.statistics_tensors import statistics_to_tensors
from transplant.nets.disclosures import ProbeRequest
from transplant.rpc.convert import (
    asked_probe_from_proto,
    asked_probe_to_proto,
    manifest_from_proto,
    manifest_to_proto,
    net_version_from_proto,
    net_version_to_proto,
)
from transplant.rpc.messages import AskedProbe
from transplant.types import Disclosure, Task
from transplant.v1 import catalog_pb2, manifest_pb2, probe_pb2

GOLDEN = Path(__file__).parent / "v1"
MODULES = {
    "category": "69118bb97de70f35de1488a4b2c391a622848236775eb6d3e8c85f98af811411",
    "task": "d40c5d14099f165a73220a00f78007a0555dd6ff2274c02975ab963aca074493",
    "adapter": "8074607ee4d78f4f9ecbfbbd3a01998648b978c981cf29b1757a0475ec8840f6",
}
DISCLOSED = {
    "statistics": "8cb6180cf043eb981a278588e1be32cc0e127ce6577d6cc26e7be2b62a82410a",
    "answers": "ba800aca58ae553614a010b4e09f06221ea0cfac5e8e7f5ccb14fa29a551cccf",
}
NET = "f3ca297c415ff33bd745aa146b67b180df09c2d5604f5400cda0a668011e8202"


@pytest.mark.parametrize("name", MODULES | DISCLOSED)
def test_a_manifest_keeps_its_id(name):
    document = (GOLDEN / f"{name}.json").read_bytes()
    manifest = parse_manifest(document)
    assert manifest.module_id == (MODULES | DISCLOSED)[name]
    assert manifest.canonical_bytes() == document


@pytest.mark.parametrize("name", MODULES | DISCLOSED)
def test_a_manifest_keeps_its_wire_bytes(name):
    manifest = parse_manifest((GOLDEN / f"{name}.json").read_bytes())
    wire = (GOLDEN / f"{name}.pb").read_bytes()
    assert manifest_to_proto(manifest).SerializeToString(deterministic=True) == wire
    assert manifest_from_proto(manifest_pb2.Manifest.FromString(wire)) == manifest


@pytest.mark.parametrize("name", MODULES)
def test_a_payload_loads(name):
    manifest = parse_manifest((GOLDEN / f"{name}.json").read_bytes())
    path = GOLDEN / f"{name}.safetensors"
    verify_payload(manifest, path)
    net = load_module(manifest, path)
    if manifest.tensors[0].dtype == "f32":  # what was shipped as f16 is loaded as f32
        assert encode(net)[0] == path.read_bytes()


def test_statistics_are_read():
    manifest = parse_manifest((GOLDEN / "statistics.json").read_bytes())
    statistics = load_statistics(manifest, GOLDEN / "statistics.safetensors")
    assert (statistics.level, statistics.epsilon) == (Disclosure.PCA, 0.0)
    assert [one.sample_count for one in statistics.classes] == [128, 128]
    assert (
        encode_tensors(statistics_to_tensors(statistics))[0]
        == (GOLDEN / "statistics.safetensors").read_bytes()
    )


def test_a_probe_and_its_answers_are_read():
    wire = (GOLDEN / "probe.pb").read_bytes()
    asked = asked_probe_from_proto(probe_pb2.ProbeRequest.FromString(wire))
    assert asked_probe_to_proto(asked).SerializeToString(deterministic=True) == wire
    request = ProbeRequest("leaves-1", 20190106, 96, 24, 32, 35, 4, Task.SEGMENTATION)
    assert asked == AskedProbe(MODULES["category"], request)
    manifest = parse_manifest((GOLDEN / "answers.json").read_bytes())
    answers = load_answers(manifest, GOLDEN / "answers.safetensors")
    assert answers.request == request
    assert manifest.parents == (asked.category_module,)


def test_a_net_keeps_its_digest_and_its_wire_bytes():
    document = (GOLDEN / "net.json").read_bytes()
    version = parse_net_document(document)
    assert net_digest(version) == NET
    assert net_document(version) == document
    wire = (GOLDEN / "net.pb").read_bytes()
    assert net_version_to_proto(version).SerializeToString(deterministic=True) == wire
    assert net_version_from_proto(catalog_pb2.NetVersion.FromString(wire)) == version
