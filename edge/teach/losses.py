"""The losses of a teacher net, one a task, and what they are balanced by.

Shape suffixes: B samples, H and W pixels. Targets are uint8; 255 = void, which counts nowhere.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from edge.datasets.site_dataset import VOID
from transplant.nets.placement import to_device
from transplant.types import Task


def positive_weight(labels: Tensor) -> float:
    """Return negatives / positives, so that both classes weigh the same however many there are."""
    positives = int((labels == 1).sum())
    negatives = int((labels == 0).sum())
    return negatives / positives if positives and negatives else 1.0


def classification_loss(logits_B1: Tensor, targets_B: Tensor, weight_of_positives: float) -> Tensor:
    """Return the class-balanced logistic loss."""
    weight = to_device(torch.tensor(weight_of_positives), logits_B1.device)
    return binary_cross_entropy_with_logits(
        logits_B1.flatten(), targets_B.to(torch.float32), pos_weight=weight
    )


def segmentation_loss(logits_B1HW: Tensor, targets_BHW: Tensor) -> Tensor:
    """Return logistic loss plus soft Dice over the batch's pixels, void ones left out.

    The logistic part gives every pixel its say; Dice (Milletari et al. 2016, section 3) keeps a category
    of few pixels from being ignored. A batch without any told pixel gives zero.
    """
    told = targets_BHW != VOID
    if not bool(told.any()):
        return logits_B1HW.sum() * 0.0
    logits = logits_B1HW[:, 0][told]
    truth = targets_BHW[told].to(torch.float32)
    probability = logits.sigmoid()
    dice = (2 * (probability * truth).sum() + 1) / (probability.sum() + truth.sum() + 1)
    return binary_cross_entropy_with_logits(logits, truth) + 1 - dice


def joint_loss(
    logits: dict[Task, Tensor], labels_B: Tensor, masks_BHW: Tensor | None, weight_of_positives: float
) -> Tensor:
    """Return the sum of the losses of the tasks that the net answers."""
    total = torch.zeros(())
    if Task.CLASSIFICATION in logits:
        total = total + classification_loss(logits[Task.CLASSIFICATION], labels_B, weight_of_positives)
    if Task.SEGMENTATION in logits and masks_BHW is not None:
        total = total + segmentation_loss(logits[Task.SEGMENTATION], masks_BHW)
    return total
