"""Error, pixel accuracy and IoU in percent, from one data-set-level confusion matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from transplant.nets.pixel_budget import images_at_once
from transplant.nets.placement import CPU, beside, device_of, to_device
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

VOID = 255
"""Pixels of this value count neither for nor against (VOC's border)."""


def as_images(images_u8_BCHW: Tensor) -> Tensor:
    """Turn stored uint8 images into what nets take: float32 in [0, 1], channels last in memory."""
    return images_u8_BCHW.to(torch.float32).div_(255).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def mean_norm(category_module: nn.Module, images_u8_BCHW: Tensor) -> float:
    """Return E||f(I)||_F over stored images, a batch at a time."""
    parts = images_u8_BCHW.split(images_at_once(images_u8_BCHW.shape[-1], 256, 1 << 20))
    images = (as_images(beside(part, category_module)) for part in parts)
    norms = [category_module(each).flatten(1).norm(dim=1) for each in images]
    return float(torch.cat(norms).mean())


@torch.no_grad()
def measure(
    net: Callable[[Tensor], Tensor],
    batches: Iterable[tuple[Tensor, Tensor]],
    task: Task,
    look: Callable[[Tensor, Tensor], None] | None = None,
) -> dict[str, float]:
    """Measure a route on labelled batches.

    Args:
        net: images -> logits, (B, 1) or (B, 1, H, W), on any device; what is counted is counted on the CPU.
        batches: uint8 images (B, 3, H, W) and uint8 targets, (B,) or (B, H, W) with 255 = void.
        task: which measures.
        look: shown the logits and targets of each batch, for what else is to be found in one pass.

    Returns:
        {"error"} for classification; {"pixel_accuracy", "mean_accuracy", "iou", "mean_iou",
        "frequency_weighted_iou"} for segmentation, `iou` being that of the category's own pixels.
    """
    matrix_TP = torch.zeros(2, 2, dtype=torch.int64)
    place = device_of(net) if isinstance(net, nn.Module) else CPU
    for images, targets in batches:
        logits = net(as_images(to_device(images, place)))
        if look is not None:
            look(logits, targets)
        predicted = to_device(logits.flatten() > 0, CPU)
        truth = targets.flatten()
        told = truth != VOID
        cells = 2 * truth[told].to(torch.int64) + predicted[told].to(torch.int64)
        matrix_TP += torch.bincount(cells, minlength=4).reshape(2, 2)
    return from_confusion(matrix_TP, task)


def floor(targets: Iterable[Tensor], task: Task) -> dict[str, float]:
    """Return the same measures for the best constant predictor (classification) or all background."""
    negatives = positives = 0
    for target in targets:
        positives += int((target == 1).sum())
        negatives += int((target == 0).sum())
    constant_yes = task is Task.CLASSIFICATION and positives > negatives
    matrix = [[0, negatives], [0, positives]] if constant_yes else [[negatives, 0], [positives, 0]]
    return from_confusion(torch.tensor(matrix), task)


def from_confusion(matrix_TP: Tensor, task: Task) -> dict[str, float]:
    """Turn a 2 x 2 confusion matrix (rows: truth, columns: prediction) into percent."""
    counts = matrix_TP.to(torch.float64)
    total = float(counts.sum())
    if total == 0:
        return {"error": 0.0} if task is Task.CLASSIFICATION else dict.fromkeys(_SEGMENTATION, 0.0)
    accuracy = float(counts.diagonal().sum()) / total
    if task is Task.CLASSIFICATION:
        return {"error": 100 * (1 - accuracy)}
    truth, predicted, hit = counts.sum(1), counts.sum(0), counts.diagonal()
    union = truth + predicted - hit
    iou = torch.where(union > 0, hit / union.clamp(min=1), torch.ones_like(union))
    recall = torch.where(truth > 0, hit / truth.clamp(min=1), torch.ones_like(truth))
    values = (
        accuracy,
        float(recall.mean()),
        float(iou[1]),
        float(iou.mean()),
        float((truth * iou).sum()) / total,
    )
    return {name: 100 * value for name, value in zip(_SEGMENTATION, values, strict=True)}


_SEGMENTATION = ("pixel_accuracy", "mean_accuracy", "iou", "mean_iou", "frequency_weighted_iou")


DECIDING_MEASURE = {Task.CLASSIFICATION: "error", Task.SEGMENTATION: "iou"}
"""The measure that decides about a route. Pixel accuracy does not: all background scores high already."""


def gap_closed(
    task: Task, teacher: dict[str, float], transplanted: dict[str, float], floor: dict[str, float]
) -> float:
    """Return which share of the distance floor -> teacher a route closes, by error or by IoU.

    1 means as good as the teacher, 0 no better than a constant. Where the teacher itself is no better
    than the floor there is nothing to close: 1 if the route is at least as good, else 0.
    """
    name = DECIDING_MEASURE[task]
    return share_closed(
        teacher[name], transplanted[name], floor[name], larger_is_better=task is Task.SEGMENTATION
    )


def share_closed(teacher: float, transplanted: float, floor: float, *, larger_is_better: bool) -> float:
    """Return which share of the distance floor -> teacher is closed in one measure (see `gap_closed`)."""
    sign = 1.0 if larger_is_better else -1.0
    distance, closed = sign * (teacher - floor), sign * (transplanted - floor)
    if distance <= 0:
        return 1.0 if closed >= distance else 0.0
    return closed / distance
