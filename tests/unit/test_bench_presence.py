"""Few labelled examples are drawn by seed, those with the category apart from those without it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes.tiny_data import SquareData

from benchmarks.journey.direct_learn import _chosen
from benchmarks.presence import drawn_by_presence
from edge.datasets.site_dataset import Split
from transplant.types import Task


def test_every_example_is_drawn_once_and_on_its_side():
    labels = (torch.arange(40) % 4 == 0).to(torch.uint8)
    present, absent = drawn_by_presence(labels, 3)
    assert sorted(present.tolist()) == list(range(0, 40, 4))
    assert sorted([*present.tolist(), *absent.tolist()]) == list(range(40))
    assert present.tolist() != sorted(present.tolist())
    again = drawn_by_presence(labels, 3)
    assert all(torch.equal(a, b) for a, b in zip((present, absent), again, strict=True))
    assert not torch.equal(absent, drawn_by_presence(labels, 4)[1])


def test_one_pixel_shows_the_category_and_void_does_not():
    masks = torch.zeros(3, 4, 4, dtype=torch.uint8)
    masks[0, 2, 3] = 1
    masks[1] = 255
    present, absent = drawn_by_presence(masks, 0)
    assert (present.tolist(), sorted(absent.tolist())) == ([0], [1, 2])


@pytest.mark.parametrize(("asked", "positives", "negatives"), [(7, 3, 4), (16, 11, 5), (30, 20, 5)])
def test_a_journey_fills_with_positives_what_it_lacks_of_negatives(asked, positives, negatives):
    train = SquareData(count=40).load(Split.TRAIN)
    rows = torch.cat([train.labels.nonzero().flatten(), (train.labels == 0).nonzero().flatten()[:5]])
    scarce = replace(train, images=train.images[rows], labels=train.labels[rows], masks=None)
    images, targets = _chosen(scarce, Task.CLASSIFICATION, asked, 0)
    assert len(images) == len(targets)
    assert (int((targets == 1).sum()), int((targets == 0).sum())) == (positives, negatives)
