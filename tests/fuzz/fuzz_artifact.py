"""Payloads: the header read by hand, then what the safetensors library makes of it, then the numbers.

A payload that the header reader lets through is given to the library, which must see the same tensors: where
two readers of one file disagree, one of them can be lied to. Then a manifest that is honest about its bytes
takes it all the way into a module, statistics or answers.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from safetensors import safe_open

from fuzz import json_mutation
from fuzz.watch import Finding, tried
from transplant.artifact.codec import load_module, read_manifest
from transplant.artifact.digest import sha256_hex
from transplant.artifact.disclosed import load_answers, load_statistics
from transplant.artifact.limits import Limits
from transplant.artifact.manifest_fields import (
    DISCLOSED_DTYPES,
    ITEM_BYTES,
    WEIGHT_DTYPES,
    TensorSpec,
    is_scale,
)
from transplant.artifact.safetensors_header import read_header
from transplant.types import ModuleKind

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "v1"
SEEDS = sorted(GOLDEN.glob("*.safetensors"))
LIMITS = Limits()
MANIFESTS = [read_manifest(GOLDEN / f"{kind}.json") for kind in ModuleKind]
# Without the names of scales: a module may be written in int8.
BY_NAMES = {frozenset(spec.name for spec in manifest.tensors): manifest for manifest in MANIFESTS}
_SHORT = {"F32": "f32", "F16": "f16", "BF16": "bf16", "U8": "u8", "I32": "i32", "I8": "i8"}


def run(data: bytes, folder: Path | None = None) -> None:
    """Read `data` as a payload in every way that the program does."""
    path = (folder or _folder()) / "payload"
    path.write_bytes(data)
    for dtypes in (WEIGHT_DTYPES, DISCLOSED_DTYPES):
        specs = tried(lambda dtypes=dtypes: read_header(path, LIMITS, dtypes))
        if specs is not None:
            _library_agrees(path, specs)
            _load(path, data, specs)


def mutate(data: bytes, size: int, seed: int, flip) -> bytes:
    """Return a mutated payload: mostly one whose length field is right and whose header is JSON.

    Args:
        data: what to start from.
        size: how long the result may be.
        seed: of the choices.
        flip: mutates bytes blindly.
    """
    rng = random.Random(seed)
    roll = rng.randrange(8)
    if roll == 0 or len(data) < 8:
        return bytes(flip(data, size))[:size]
    length = min(int.from_bytes(data[:8], "little"), len(data) - 8)
    header, payload = data[8 : 8 + length], data[8 + length :]
    if roll == 1:
        payload = bytes(flip(payload or b"\0", max(1, size - 8 - length)))
    elif roll == 2:
        header = bytes(flip(header or b"{", max(1, size - 8)))
    else:
        try:
            document = json_mutation.mutated(json_mutation.parse(header), rng)
            header = json_mutation.dump(document)
        except (ValueError, RecursionError):
            header = bytes(flip(header or b"{", max(1, size - 8)))
    return (len(header).to_bytes(8, "little") + header + payload)[:size]


def suffix(data: bytes) -> str:
    """Return how a file of the corpus is called."""
    del data
    return ".safetensors"


def _load(path: Path, data: bytes, specs: tuple[TensorSpec, ...]) -> None:
    manifest = BY_NAMES.get(frozenset(spec.name for spec in specs if not is_scale(spec.name)))
    if manifest is None:
        return
    honest = {"tensors": specs, "payload_bytes": len(data), "payload_sha256": sha256_hex(data)}
    manifest = manifest.model_copy(update=honest)
    load = {ModuleKind.STATISTICS: load_statistics, ModuleKind.ANSWERS: load_answers}.get(
        manifest.kind, load_module
    )
    tried(lambda: load(manifest, path))


def _library_agrees(path: Path, specs: tuple[TensorSpec, ...]) -> None:
    with safe_open(path, framework="pt", device="cpu") as file:
        if set(file.keys()) != {spec.name for spec in specs}:
            raise Finding(f"the library sees {sorted(file.keys())[:8]}")
        for spec in specs:
            part = file.get_slice(spec.name)
            if tuple(part.get_shape()) != spec.shape or _SHORT.get(part.get_dtype()) != spec.dtype:
                raise Finding(f"the library sees {part.get_dtype()} {part.get_shape()} for {spec}")
            tensor = file.get_tensor(spec.name)
            if tensor.numel() * ITEM_BYTES[spec.dtype] != spec.size_bytes:
                raise Finding(f"the library reads {tensor.numel()} numbers for {spec}")


_folders: list[tempfile.TemporaryDirectory[str]] = []


def _folder() -> Path:
    if not _folders:
        memory = Path("/dev/shm")  # noqa: S108 - a memory file system, where there is one
        _folders.append(tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None))
    return Path(_folders[0].name)
