"""Admission: may this artifact become part of the registry? Nothing is registered before all is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from central.usecases.admit_disclosed import admit_disclosed, registered_parent
from transplant.artifact.codec import load_module
from transplant.datafree.procedural_images import procedural_images
from transplant.errors import ManifestInvalid, PayloadMalformed, SeamMismatch, TensorNotFinite
from transplant.nets.architecture_table import image_px
from transplant.nets.disclosure_layouts import DISCLOSED_KINDS
from transplant.types import ModuleKind, Task

if TYPE_CHECKING:
    from pathlib import Path

    from central.usecases.center import Center
    from transplant.artifact.manifest import Manifest

_CANARY_IMAGES = 2
_CANARY_SEED = 7


def admit_module(center: Center, manifest: Manifest, payload: Path) -> None:
    """Check an uploaded artifact: lineage, bytes, numbers, and a forward pass where it is a net.

    Raises:
        ArtifactRejected: the subclass says which check failed.
        NotFound: if its category module is not registered.
    """
    if manifest.kind in DISCLOSED_KINDS:
        admit_disclosed(center, manifest, payload)
        return
    parent = _parent(center, manifest)
    net = load_module(manifest, payload)
    category_module = net
    if parent is not None:
        category_module = load_module(parent, center.store.path_of(parent.payload_sha256))
    side = image_px(manifest.architecture.to_type())
    images = procedural_images(_CANARY_IMAGES, side, _CANARY_SEED).float() / 255.0
    with torch.inference_mode():
        features = category_module(images)
        _check_shape("f(I)", features, _feature_shape(manifest))
        if parent is not None:
            _check_shape("g(f(I))", net(features), _logit_shape(manifest, side))


def _parent(center: Center, manifest: Manifest) -> Manifest | None:
    if manifest.kind is ModuleKind.CATEGORY:
        if manifest.parents:
            raise ManifestInvalid("parents: a category module has none")
        return None
    if len(manifest.parents) != 1:
        raise ManifestInvalid("parents: a task module has one, the category module it was trained on")
    with center.registry.read() as books:
        parent = registered_parent(books, manifest)
    if parent.architecture != manifest.architecture:
        raise SeamMismatch("a task module has the architecture of the category module it was trained on")
    return parent


def _feature_shape(manifest: Manifest) -> tuple[int, ...]:
    seam = manifest.seam
    return (_CANARY_IMAGES, seam.channels, seam.height, seam.width)


def _logit_shape(manifest: Manifest, side: int) -> tuple[int, ...]:
    if manifest.task is Task.CLASSIFICATION:
        return (_CANARY_IMAGES, 1)
    return (_CANARY_IMAGES, 1, side, side)


def _check_shape(what: str, values: torch.Tensor, shape: tuple[int, ...]) -> None:
    if tuple(values.shape) != shape:
        raise PayloadMalformed(f"{what} has the shape {tuple(values.shape)}, not {shape}")
    if not torch.isfinite(values).all():
        raise TensorNotFinite(f"{what} of an ordinary image is not finite")
