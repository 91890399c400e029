"""Encoded artifacts are read for ever, and the float32 weights behind them are the same bits for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from transplant.artifact.codec import encode, load_module
from transplant.artifact.digest import sha256_hex
from transplant.artifact.manifest import parse_manifest
from transplant.rpc.convert import manifest_from_proto, manifest_to_proto
from transplant.v1 import manifest_pb2

GOLDEN = Path(__file__).parent / "v1"
ENCODED = {  # the module's id, and the digest of its payload once loaded
    "f16": (
        "74c0cfd060f28e8213f58afbd90ad29d8ec8b22b49cb29dea6bc52698e241f3d",
        "9c784bd1d46a62102b9afaae8fc551f6759dc4058263f5690a7636b1624a33d7",
    ),
    "bf16": (
        "9e912d19ac525b404094cf551254e5b249bf5f089bb49fdbc99a72747496d4a0",
        "36b6cd8406b41314c1cb1d553fd77e158e14416316d7bb20c677cc9e84aec30a",
    ),
    "int8": (
        "e26e6608366d801774af44880746eb5cd6f2ee13392a7a586252248841bd121b",
        "c496ec41766bf8f136ab82066aecd778ba0f38ddf1cf363d43b265600bb23c65",
    ),
}


@pytest.mark.parametrize("encoding", ENCODED)
def test_an_encoded_module_keeps_its_id_its_wire_bytes_and_its_weights(encoding):
    document = (GOLDEN / f"task-{encoding}.json").read_bytes()
    wire = (GOLDEN / f"task-{encoding}.pb").read_bytes()
    manifest = parse_manifest(document)
    module_id, weights = ENCODED[encoding]
    assert manifest.module_id == module_id
    assert manifest.canonical_bytes() == document
    assert manifest_to_proto(manifest).SerializeToString(deterministic=True) == wire
    assert manifest_from_proto(manifest_pb2.Manifest.FromString(wire)) == manifest
    assert sha256_hex(encode(load_module(manifest, GOLDEN / f"task-{encoding}.safetensors"))[0]) == weights
