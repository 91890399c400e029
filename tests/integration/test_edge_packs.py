"""The real packs: no photograph in two splits, fair negatives, masks that fit."""

from __future__ import annotations

import pytest

from edge.datasets.cifar10 import Cifar10Data
from edge.datasets.site_dataset import VOID, Split
from edge.datasets.voc_mammals import VocMammalsData
from transplant.types import Task

pytestmark = [pytest.mark.data]


def _hashes(images):
    return {hash(image.numpy().tobytes()) for image in images}


@pytest.mark.timeout(60)
def test_voc_mammals(data_root):
    splits = {split: VocMammalsData("cow", data_root, 0).load(split) for split in Split}
    assert [int(splits[split].labels.sum()) for split in (Split.TEST,)] == [117]
    assert sum(int(splits[split].labels.sum()) for split in Split) == 486 + 117
    for data in splits.values():
        assert float(data.labels.float().mean()) == pytest.approx(0.5)
        assert data.masks is not None
        assert bool((data.masks[data.labels == 0] == VOID).all())
        images, masks = data.examples(Task.SEGMENTATION)
        assert len(images) == int(data.labels.sum())
        assert 0.2 < float((masks == 1).float().mean()) < 0.8
    train, validation, test = (_hashes(splits[split].images) for split in Split)
    assert len(train) + len(validation) + len(test) == len(train | validation | test)
    again = VocMammalsData("cow", data_root, 0).load(Split.TEST)
    assert again.fingerprint == splits[Split.TEST].fingerprint


@pytest.mark.timeout(60)
def test_cifar10(data_root):
    test = Cifar10Data("horse", data_root, 0).load(Split.TEST)
    assert (len(test), int(test.labels.sum())) == (2000, 1000)
    validation = Cifar10Data("horse", data_root, 0).load(Split.VALIDATION)
    assert (len(validation), int(validation.labels.sum())) == (1000, 500)
    assert test.masks is None
