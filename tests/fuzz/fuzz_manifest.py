"""Manifests: canonical JSON and protobuf, each all the way through the checks.

Every input is read both ways. Whatever is taken must be one manifest for everybody: the same id after a way
through the other form, and after being read again from its own canonical bytes.
"""

from __future__ import annotations

import random
from pathlib import Path

from google.protobuf.message import DecodeError

from fuzz import json_mutation
from fuzz.proto_mutation import mutate_message
from fuzz.watch import Finding, tried
from transplant.artifact.manifest import Manifest, parse_manifest
from transplant.rpc.convert import manifest_from_proto, manifest_to_proto
from transplant.v1 import manifest_pb2

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "v1"
SEEDS = sorted((*GOLDEN.glob("*.json"), *GOLDEN.glob("*.pb")))


def run(data: bytes) -> None:
    """Read `data` as a manifest in both forms."""
    _one_id(tried(lambda: parse_manifest(data)))
    try:
        message = manifest_pb2.Manifest.FromString(data)
    except DecodeError:  # the server's own layer answers before a servicer sees it
        return
    _one_id(tried(lambda: manifest_from_proto(message)))


def mutate(data: bytes, size: int, seed: int, flip) -> bytes:
    """Return a mutated manifest: mostly one that is still a document or a message.

    Args:
        data: what to start from.
        size: how long the result may be.
        seed: of the choices.
        flip: mutates bytes blindly.
    """
    rng = random.Random(seed)
    if rng.randrange(5) == 0:
        return bytes(flip(data, size))[:size]
    try:
        if data.startswith(b"{"):
            return json_mutation.dump(json_mutation.mutated(json_mutation.parse(data), rng))[:size]
        message = manifest_pb2.Manifest.FromString(data)
        mutate_message(message, rng)
        return message.SerializeToString()[:size]
    except (ValueError, RecursionError, DecodeError):
        return bytes(flip(data, size))[:size]


def suffix(data: bytes) -> str:
    """Return how a file of the corpus is called."""
    return ".json" if data.startswith(b"{") else ".pb"


def _one_id(manifest: Manifest | None) -> None:
    if manifest is None:
        return
    again = parse_manifest(manifest.canonical_bytes())
    crossed = manifest_from_proto(
        manifest_pb2.Manifest.FromString(manifest_to_proto(manifest).SerializeToString())
    )
    if not manifest.module_id == again.module_id == crossed.module_id:
        raise Finding(f"three ids: {manifest.module_id}, {again.module_id}, {crossed.module_id}")
