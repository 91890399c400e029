"""The task loss: what labels say about logits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from transplant.nets.measures import VOID
from transplant.types import Task


def task_loss(logits: Tensor, targets: Tensor, task: Task) -> Tensor:
    """Return the logistic loss L(y_S, y*); pixels marked void count for nothing.

    Args:
        logits: (B, 1), or (B, 1, H, W) for segmentation.
        targets: uint8 (B,), or (B, H, W) with 255 = void.
        task: which of the two.
    """
    if task is Task.CLASSIFICATION:
        return functional.binary_cross_entropy_with_logits(logits.flatten(), targets.to(logits.dtype))
    valid = targets != VOID
    per_pixel = functional.binary_cross_entropy_with_logits(
        logits[:, 0], (targets == 1).to(logits.dtype), reduction="none"
    )
    return torch.where(valid, per_pixel, torch.zeros_like(per_pixel)).sum() / valid.sum().clamp(min=1)
