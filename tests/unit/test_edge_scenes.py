"""The embedded data: real digits, fair scenes, no digit in two splits, drawn once."""

from __future__ import annotations

import numpy as np
import pytest

from edge.datasets.digit_scenes import digit_pool, draw_scenes
from edge.datasets.scenes import ScenesData
from edge.datasets.site_dataset import Split
from transplant.errors import DatasetInvalid, InvalidSettings

FEW = {Split.TRAIN: 12, Split.VALIDATION: 6, Split.TEST: 8}


def test_no_handwritten_digit_is_in_two_splits():
    pools = {split: {int(i) for pool in digit_pool(split) for i in pool} for split in Split}
    assert sum(len(pool) for pool in pools.values()) == len(set().union(*pools.values())) == 1797
    assert all(len(pool) >= 20 for split in Split for pool in digit_pool(split))


def test_scenes_are_balanced_and_masks_are_of_the_own_digit_only():
    scenes = draw_scenes(3, Split.TRAIN, 40, np.random.default_rng(0))
    assert scenes.images.shape == (40, 32, 32, 3)
    assert scenes.labels.sum() == 20
    inked = scenes.masks.reshape(40, -1).sum(axis=1)
    assert (inked[scenes.labels == 0] == 0).all()
    assert (inked[scenes.labels == 1] > 15).all()
    assert scenes.masks.mean() < 0.1


def test_one_seed_draws_one_set_of_scenes():
    one, same, other = (draw_scenes(1, Split.TEST, 4, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert (one.images == same.images).all()
    assert (one.images != other.images).any()


def test_the_file_is_drawn_once_and_is_the_data_from_then_on(tmp_path):
    first = ScenesData("digit-2", tmp_path, 0, FEW).load(Split.TRAIN)
    assert (tmp_path / "data" / "scenes.npz").is_file()
    again = ScenesData("digit-2", tmp_path, 99, FEW).load(Split.TRAIN)
    assert first.fingerprint == again.fingerprint
    assert not first.mirror_invariant
    assert [len(ScenesData("digit-2", tmp_path, 0, FEW).load(split)) for split in Split] == [12, 6, 8]


def test_each_category_draws_its_own_scenes_from_one_seed(tmp_path):
    one = ScenesData("digit-2", tmp_path / "a", 0, FEW).load(Split.TRAIN)
    other = ScenesData("digit-3", tmp_path / "b", 0, FEW).load(Split.TRAIN)
    assert one.fingerprint != other.fingerprint


def test_another_sites_file_is_refused(tmp_path):
    ScenesData("digit-2", tmp_path, 0, FEW).load(Split.TRAIN)
    with pytest.raises(DatasetInvalid, match="holds digit-2, this site is digit-4"):
        ScenesData("digit-4", tmp_path, 0, FEW).load(Split.TRAIN)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not really", None])
def test_a_damaged_file_is_named(tmp_path, damage):
    data = ScenesData("digit-2", tmp_path, 0, FEW)
    data.load(Split.TRAIN)
    whole = data.path.read_bytes()
    data.path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    with pytest.raises(DatasetInvalid, match=r"scenes\.npz"):
        data.load(Split.TRAIN)


@pytest.mark.parametrize("category", ["digit-10", "cat", "digit-", "digit-3x"])
def test_what_is_no_digit_is_refused(tmp_path, category):
    with pytest.raises(InvalidSettings, match="digit-0 to digit-9"):
        ScenesData(category, tmp_path, 0)
