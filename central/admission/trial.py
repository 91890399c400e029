"""The trial run of a module: synthetic images go through f, and through g on top of it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from transplant.datafree.procedural_images import procedural_images
from transplant.errors import PayloadMalformed, TensorNotFinite
from transplant.nets.architecture_table import image_px
from transplant.types import Task

if TYPE_CHECKING:
    from torch import Tensor, nn

    from transplant.artifact.manifest import Manifest

LARGEST_ANSWER = 1e6
"""Largest feature or logit of an ordinary image, as for weights: beyond it a net is broken or hostile."""

_SEED = 7
_DRAWN_PX = 128  # larger images are stretched: what a pile of leaves costs grows with its area
_PIXELS = 1 << 17
_MOST_IMAGES, _FEWEST_IMAGES = 32, 2
_AT_ONCE = 1 << 19
_SAME = 1e-7  # relative spread of outputs that is rounding at most


def trial_images(manifest: Manifest) -> Tensor:
    """Return the images of a trial, float (B, 3, side, side) in [0, 1]; fewer where they are large."""
    return _images(image_px(manifest.architecture.to_type()))


def try_category_module(
    manifest: Manifest, net: nn.Module, figures: dict[str, float]
) -> tuple[Tensor, list[str]]:
    """Run f; return x = f(I) and what speaks against f.

    Raises:
        PayloadMalformed: if x is not of the seam.
        TensorNotFinite: if x is not.
    """
    features_BCHW = _run(net, trial_images(manifest))
    seam = manifest.seam
    _check("f(I)", features_BCHW, (len(features_BCHW), seam.channels, seam.height, seam.width))
    norm_B = features_BCHW.flatten(1).norm(dim=1)
    spread_C = features_BCHW.amax((0, 2, 3)) - features_BCHW.amin((0, 2, 3))
    figures |= {
        "features.mean_norm": float(norm_B.mean()),
        "features.largest": float(features_BCHW.abs().max()),
        "features.dead_channels_percent": 100.0 * float((spread_C <= 0).float().mean()),
    }
    return features_BCHW, _against("f(I)", features_BCHW)


def try_task_module(
    manifest: Manifest, net: nn.Module, features_BCHW: Tensor, figures: dict[str, float]
) -> list[str]:
    """Run g on x = f(I); return what speaks against g.

    Raises:
        PayloadMalformed: if the logits are not of the task's shape.
        TensorNotFinite: if a logit is not.
    """
    side = image_px(manifest.architecture.to_type())
    logits = _run(net, features_BCHW)
    place = (1,) if manifest.task is Task.CLASSIFICATION else (1, side, side)
    _check("g(f(I))", logits, (len(features_BCHW), *place))
    figures |= {
        "logits.mean": float(logits.mean()),
        "logits.deviation": float(logits.std(correction=0)),
        "logits.largest": float(logits.abs().max()),
    }
    return _against("g(f(I))", logits)


def _against(what: str, values: Tensor) -> list[str]:
    """Return what speaks against outputs of a batch: they are absurdly large, or the same for every image."""
    against: list[str] = []
    largest = float(values.abs().max())
    if largest > LARGEST_ANSWER:
        against.append(
            f"{what} of an ordinary image reaches {largest:.3g}; at most {LARGEST_ANSWER:g} is taken"
        )
    spread = float((values.amax(0) - values.amin(0)).max())
    if spread <= _SAME * largest:
        against.append(f"{what} is the same for every image: nothing in it looks at what it is shown")
    return against


def _run(net: nn.Module, batch: Tensor) -> Tensor:
    at_once = max(1, _AT_ONCE // (batch.shape[-1] * batch.shape[-2]))
    with torch.inference_mode():
        return torch.cat([net(part).float() for part in batch.split(at_once)])


def _check(what: str, values: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(values.shape) != shape:
        raise PayloadMalformed(f"{what} has the shape {tuple(values.shape)}, not {shape}")
    if not torch.isfinite(values).all():
        raise TensorNotFinite(f"{what} of an ordinary image is not finite")


def warm_up() -> None:
    """Make the images of the commonest sizes before the first module comes."""
    for side in (32, 64):
        _images(side)


@lru_cache(maxsize=8)
def _images(side: int) -> Tensor:
    count = max(_FEWEST_IMAGES, min(_MOST_IMAGES, _PIXELS // side**2))
    images = procedural_images(count, min(side, _DRAWN_PX), _SEED).float() / 255.0
    if side <= _DRAWN_PX:
        return images
    return functional.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)
