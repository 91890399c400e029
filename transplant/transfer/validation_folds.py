"""What a choice is validated on where samples are few: folds of them, or distorted copies of each."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def stratified_folds(labels_B: Tensor, folds: int, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """Return (rows to learn from, rows left out) of each fold; every class is in both parts of every fold.

    Args:
        labels_B: int64 classes, each with at least `folds` samples.
        folds: how many.
        generator: of the choice.
    """
    fold_B = torch.empty_like(labels_B)
    for label in labels_B.unique():
        rows = (labels_B == label).nonzero().flatten()
        fold_B[rows[torch.randperm(len(rows), generator=generator)]] = torch.arange(len(rows)) % folds
    return [
        ((fold_B != fold).nonzero().flatten(), (fold_B == fold).nonzero().flatten()) for fold in range(folds)
    ]


def distorted(
    images_BCHW: Tensor,
    generator: torch.Generator,
    *,
    degrees: float = 12,
    zoom: float = 0.15,
    shift: float = 0.08,
) -> Tensor:
    """Return each image moved, turned, scaled and slanted a little; its ground is what the corner pixel says.

    Args:
        images_BCHW: float images.
        generator: of the distortions.
        degrees: largest turn; slants go as far.
        zoom: largest relative change of scale.
        shift: largest move, as a share of the side.
    """
    count = len(images_BCHW)

    def drawn(most: float) -> Tensor:
        return most * (2 * torch.rand(count, generator=generator) - 1)

    angle, slant = drawn(math.radians(degrees)), drawn(math.radians(degrees))
    scale = 1 + drawn(zoom)
    rows = [
        torch.stack([scale * angle.cos(), scale * (slant - angle).sin(), 2 * drawn(shift)], dim=1),
        torch.stack([scale * angle.sin(), scale * angle.cos(), 2 * drawn(shift)], dim=1),
    ]
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(images_BCHW.shape), align_corners=False)
    ground = images_BCHW[:, :1, :1, :1]
    moved = functional.grid_sample(images_BCHW - ground, grid, mode="bilinear", align_corners=False)
    return moved + ground
