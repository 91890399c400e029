"""Modules to artifacts and back: safetensors payloads, sealed by a manifest, never believed unchecked."""

from __future__ import annotations

import math
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from transplant.artifact.digest import sha256_file, sha256_hex
from transplant.artifact.durable_file import write_durably
from transplant.artifact.encoding import Encoding, decoded, encoded
from transplant.artifact.limits import DEFAULT_LIMITS, Limits
from transplant.artifact.manifest import (
    ArchitectureModel,
    FeatureStatistics,
    Manifest,
    SeamModel,
    TrainingRecord,
    check_layout,
    implied_seam,
    parse_manifest,
    raise_manifest_invalid,
)
from transplant.artifact.manifest_fields import DISCLOSED_DTYPES, LARGEST_CODE, WEIGHT_DTYPES, is_scale
from transplant.artifact.own_commit import own_commit
from transplant.artifact.safetensors_header import parse_header, read_header
from transplant.errors import DigestMismatch, PayloadMalformed, TensorNotFinite, TooLarge
from transplant.nets.architecture_table import checked_architecture
from transplant.nets.architectures import build
from transplant.nets.disclosure_layouts import DISCLOSED_KINDS
from transplant.nets.transplant_net import freeze

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from transplant.artifact.manifest_fields import Dtype, TensorSpec
    from transplant.types import Architecture, ModuleKind, Task

__all__ = [
    "Limits",
    "encode",
    "encode_tensors",
    "load_module",
    "load_tensors",
    "read_manifest",
    "seal",
    "verify_payload",
    "write_artifact",
]

_WEIGHTS = (torch.float32, torch.float16, torch.bfloat16)
_SCAN_ELEMENTS = 1 << 22


def encode(net: nn.Module, encoding: Encoding = Encoding.F32) -> tuple[bytes, tuple[TensorSpec, ...]]:
    """Return the safetensors payload of a module and the tensors in it; equal weights give equal bytes.

    Args:
        net: the module.
        encoding: how its weights are written; f32 leaves them as they are.

    Raises:
        PayloadMalformed: if a tensor is not f32, f16 or bf16.
        TensorNotFinite: if a weight is NaN, infinite, absurdly large or too large for the encoding: better
            here than at the center.
    """
    weights = net.state_dict()
    for name, tensor in weights.items():
        if tensor.dtype not in _WEIGHTS:
            raise PayloadMalformed(f"{name} is {tensor.dtype}; an artifact holds f32, f16 and bf16 only")
        if encoding is not Encoding.F32:
            _check_numbers(name, tensor, DEFAULT_LIMITS.max_abs)
    return encode_tensors(encoded(weights, encoding), WEIGHT_DTYPES)


def encode_tensors(
    tensors: Mapping[str, Tensor], dtypes: frozenset[Dtype] = DISCLOSED_DTYPES
) -> tuple[bytes, tuple[TensorSpec, ...]]:
    """Return the safetensors payload of tensors that are no net's, and what is in it.

    Raises:
        PayloadMalformed: if a tensor is of a type that is not in `dtypes`.
        TensorNotFinite: if a number is NaN, infinite or absurdly large.
    """
    told = {name: tensor.detach().to("cpu", copy=False).contiguous() for name, tensor in tensors.items()}
    for name, tensor in told.items():
        _check_numbers(name, tensor, DEFAULT_LIMITS.max_abs)
    payload = save_tensors(told)
    header_bytes = int.from_bytes(payload[:8], "little")
    data_bytes = len(payload) - 8 - header_bytes
    return payload, parse_header(payload[8 : 8 + header_bytes], data_bytes, DEFAULT_LIMITS, dtypes)


def seal(
    net: nn.Module | Mapping[str, Tensor],
    *,
    site: str,
    category: str,
    kind: ModuleKind,
    task: Task | None,
    architecture: Architecture,
    statistics: FeatureStatistics | None = None,
    metrics: Mapping[str, float] | None = None,
    training: TrainingRecord | None = None,
    parents: Sequence[str] = (),
    encoding: Encoding = Encoding.F32,
    transfer_forbidden: bool = False,
) -> tuple[Manifest, bytes]:
    """Return the manifest and the payload of a module: together they are the artifact.

    Statistics and answers are no net: their tensors are sealed by name, and as they are.

    Raises:
        ManifestInvalid: naming the field that breaks a rule.
        UnknownArchitecture: if the architecture is not in the closed table for this kind.
        TensorNotFinite: if a weight is not a usable number.
    """
    checked_architecture(architecture, kind)
    payload, tensors = encode(net, encoding) if isinstance(net, nn.Module) else encode_tensors(net)
    try:
        manifest = Manifest(
            site=site,
            category=category,
            kind=kind,
            task=task,
            architecture=ArchitectureModel.of(architecture),
            seam=SeamModel.of(implied_seam(architecture, kind)),
            tensors=tensors,
            payload_sha256=sha256_hex(payload),
            payload_bytes=len(payload),
            statistics=statistics or FeatureStatistics(),
            metrics=dict(metrics or {}),
            training=training or TrainingRecord(),
            parents=tuple(parents),
            libraries={
                "python": platform.python_version(),
                "safetensors": version("safetensors"),
                "torch": version("torch"),
                "transplant": version("transplant"),
                **own_commit(),
            },
            transfer_forbidden=transfer_forbidden,
        )
    except ValidationError as error:
        raise_manifest_invalid(error)
    check_layout(manifest)
    return manifest, payload


def verify_payload(manifest: Manifest, path: Path, limits: Limits = DEFAULT_LIMITS) -> None:
    """Check every byte of a payload against its manifest, in the order of what a check costs.

    Memory is flat: the digest is taken in blocks and the numbers are scanned in slices of a mapped file.

    Raises:
        TooLarge: if something is over `limits`.
        PayloadMalformed: if the file is not the safetensors file that the manifest describes.
        DigestMismatch: if its sha256 is not the declared one.
        TensorNotFinite: if a weight is NaN, infinite or larger than `limits.max_abs`.
        ManifestInvalid: if the manifest does not fit its architecture.
        UnknownArchitecture: if the architecture is not in the closed table.
    """
    _check_file(manifest, path, limits)
    for name, tensor in _tensors(path):
        _check_numbers(name, tensor, limits.max_abs)


def _check_file(manifest: Manifest, path: Path, limits: Limits) -> None:
    """Check all that `verify_payload` does but the numbers."""
    check_layout(manifest, limits)
    size = path.stat().st_size
    if size > limits.payload_bytes:
        raise TooLarge(f"the payload has {size} bytes; at most {limits.payload_bytes} are taken")
    if size != manifest.payload_bytes:
        raise PayloadMalformed(f"the payload has {size} bytes, the manifest says {manifest.payload_bytes}")
    actual = sha256_file(path)
    if actual != manifest.payload_sha256:
        raise DigestMismatch(f"the payload's sha256 is {actual}, the manifest says {manifest.payload_sha256}")
    dtypes = DISCLOSED_DTYPES if manifest.kind in DISCLOSED_KINDS else WEIGHT_DTYPES
    found = {spec.name: spec for spec in read_header(path, limits, dtypes)}
    declared = {spec.name: spec for spec in manifest.tensors}
    for name in sorted(found.keys() | declared.keys()):
        if found.get(name) != declared.get(name):
            raise PayloadMalformed(f"the tensor {name} in the payload is not the one that the manifest lists")


def load_module(manifest: Manifest, path: Path) -> nn.Module:
    """Return the module of a verified artifact: float32, in evaluation mode and frozen.

    Raises:
        ArtifactRejected: whatever `verify_payload` finds.
    """
    tensors = _verified(manifest, path)
    net = build(manifest.architecture.to_type(), manifest.kind, manifest.task)
    net.load_state_dict(decoded(tensors), strict=True)  # copies: the mapped file is free to go
    return freeze(net)


def load_tensors(manifest: Manifest, path: Path) -> dict[str, Tensor]:
    """Return the tensors of a verified artifact by name.

    Raises:
        ArtifactRejected: whatever `verify_payload` finds.
    """
    return {name: tensor.clone() for name, tensor in _verified(manifest, path).items()}


def write_artifact(directory: Path, manifest: Manifest, payload: bytes) -> Path:
    """Write `<module_id>.safetensors`, then `<module_id>.json`, each atomically; return the payload's path.

    The manifest comes last: where it stands, the payload is whole.

    Raises:
        DigestMismatch: if the payload is not the manifest's.
        StorageFull: if the disk is full; no half file is left.
    """
    if sha256_hex(payload) != manifest.payload_sha256:
        raise DigestMismatch("the payload is not the one that the manifest was sealed with")
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{manifest.module_id}.safetensors"
    write_durably(path, payload)
    write_durably(path.with_suffix(".json"), manifest.canonical_bytes())
    return path


def read_manifest(path: Path) -> Manifest:
    """Read a manifest from a file.

    Raises:
        ArtifactRejected: see `parse_manifest`; `DigestMismatch` if the file is named by another module id.
    """
    manifest = parse_manifest(path.read_bytes())
    stem = path.stem
    if len(stem) == 64 and stem != manifest.module_id:
        raise DigestMismatch(f"{path.name} holds the manifest of module {manifest.module_id}")
    return manifest


def _verified(manifest: Manifest, path: Path) -> dict[str, Tensor]:
    """Return the tensors of a payload, mapped, once every check of `verify_payload` is passed."""
    _check_file(manifest, path, DEFAULT_LIMITS)
    tensors = dict[str, Tensor](_tensors(path))
    for name, tensor in tensors.items():
        _check_numbers(name, tensor, DEFAULT_LIMITS.max_abs)
    return tensors


def _tensors(path: Path):
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                yield name, file.get_tensor(name)
    except SafetensorError as error:
        raise PayloadMalformed(f"the payload is not a safetensors file: {error}") from error


def _check_numbers(name: str, tensor: Tensor, max_abs: float) -> None:
    if tensor.dtype is torch.int8 and int(tensor.min()) < -LARGEST_CODE:
        raise PayloadMalformed(f"{name} holds the code -128; those of a weight are within +-{LARGEST_CODE}")
    if not tensor.is_floating_point():
        return  # counts and codes cannot be other than numbers
    if is_scale(name):
        if not float(tensor.min()) > 0:
            raise TensorNotFinite(f"{name} holds {float(tensor.min())}: every scale must be over 0")
        max_abs /= LARGEST_CODE
    flat = tensor.reshape(-1)
    for start in range(0, flat.numel(), _SCAN_ELEMENTS):
        least, largest = torch.aminmax(flat[start : start + _SCAN_ELEMENTS])  # NaN, if any, comes through
        for value in (float(least), float(largest)):
            if not math.isfinite(value) or abs(value) > max_abs:
                raise TensorNotFinite(
                    f"{name} holds {value}: every weight must be finite and within +-{max_abs:g}"
                )
