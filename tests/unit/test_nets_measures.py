"""Measures come from one confusion matrix over the whole data set."""

from __future__ import annotations

import pytest
import torch

from transplant.nets.measures import floor, from_confusion, gap_closed, measure
from transplant.nets.torchvision_ops import ensure_torchvision_ops
from transplant.types import Task


def test_classification_error_and_its_floor() -> None:
    targets = torch.tensor([1, 1, 0, 1], dtype=torch.uint8)
    images = torch.zeros(4, 3, 2, 2, dtype=torch.uint8)
    batches = [(images[:3], targets[:3]), (images[3:], targets[3:])]
    always = measure(lambda x: torch.ones(len(x), 1), batches, Task.CLASSIFICATION)
    assert always == {"error": 25.0}
    assert floor([targets], Task.CLASSIFICATION) == {"error": 25.0}


def test_segmentation_is_of_the_data_set_not_of_its_batches() -> None:
    truth = torch.tensor([[[1, 1], [0, 255]], [[0, 0], [0, 1]]], dtype=torch.uint8)
    said = torch.tensor([[[1, 0], [0, 1]], [[1, 0], [0, 1]]])
    logits = iter([(said[:1] * 2.0 - 1).unsqueeze(1), (said[1:] * 2.0 - 1).unsqueeze(1)])
    images = torch.zeros(2, 3, 2, 2, dtype=torch.uint8)
    figures = measure(
        lambda _: next(logits), [(images[:1], truth[:1]), (images[1:], truth[1:])], Task.SEGMENTATION
    )
    # of 7 pixels that are not void: 2 hits, 1 missed, 1 false, 3 background
    assert figures["pixel_accuracy"] == pytest.approx(100 * 5 / 7)
    assert figures["iou"] == pytest.approx(100 * 2 / 4)
    assert figures["mean_iou"] == pytest.approx(100 * (2 / 4 + 3 / 5) / 2)
    assert figures["mean_accuracy"] == pytest.approx(100 * (2 / 3 + 3 / 4) / 2)
    assert figures["frequency_weighted_iou"] == pytest.approx(100 * (3 * 2 / 4 + 4 * 3 / 5) / 7)


def test_all_background_is_the_floor_of_segmentation() -> None:
    figures = floor([torch.tensor([[[1, 0], [0, 0]]], dtype=torch.uint8)], Task.SEGMENTATION)
    assert figures["pixel_accuracy"] == 75.0
    assert figures["iou"] == 0.0


def test_an_empty_data_set_has_zeros_not_nan() -> None:
    assert from_confusion(torch.zeros(2, 2), Task.CLASSIFICATION) == {"error": 0.0}


@pytest.mark.parametrize(
    ("teacher", "route", "constant", "share"),
    [
        (10.0, 10.0, 50.0, 1.0),
        (10.0, 30.0, 50.0, 0.5),
        (10.0, 60.0, 50.0, -0.25),
        (50.0, 40.0, 50.0, 1.0),
        (50.0, 60.0, 50.0, 0.0),
    ],
)
def test_gap_closed(teacher: float, route: float, constant: float, share: float) -> None:
    figures = ({"error": teacher}, {"error": route}, {"error": constant})
    assert gap_closed(Task.CLASSIFICATION, *figures) == pytest.approx(share)


def test_torchmetrics_measures_the_same() -> None:
    ensure_torchvision_ops()
    from torchmetrics.classification import BinaryConfusionMatrix, BinaryJaccardIndex

    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 1, 8, 8, generator=generator)
    truth = torch.tensor([0, 1, 255], dtype=torch.uint8)[torch.randint(0, 3, (5, 8, 8), generator=generator)]
    said = (logits[:, 0] > 0).long()
    theirs = BinaryConfusionMatrix(ignore_index=255)(said, truth.long())
    images = torch.zeros(5, 3, 8, 8, dtype=torch.uint8)
    ours = measure(lambda _: logits, [(images, truth)], Task.SEGMENTATION)
    assert ours == from_confusion(theirs, Task.SEGMENTATION)
    jaccard = BinaryJaccardIndex(ignore_index=255)(said, truth.long())
    assert ours["iou"] == pytest.approx(100 * float(jaccard), rel=1e-6)
