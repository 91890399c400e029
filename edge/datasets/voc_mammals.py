"""Pack `voc_mammals`: 64 px object crops of five mammals of PASCAL VOC, with masks.

Positives are the crops of the category. Negatives, as many, are the paper's "random images": half of
them background windows of the pack's own photographs, half the `negative` class of pack `animals64`;
they serve classification only, their masks are void. Test is VOC's val; validation is every eighth
photograph of train, so that no photograph is in two splits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.datasets.pack_files import (
    ByteArray,
    blob_picture,
    pack_folder,
    pack_index,
    share_of,
    sheet_tiles,
)
from edge.datasets.site_dataset import VOID, SiteDataset, Split, from_arrays
from transplant.artifact.digest import derive_seed
from transplant.errors import DatasetInvalid, InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path

TILE_PX = 64
VOC_LABEL = {"cat": 8, "cow": 10, "dog": 12, "horse": 13, "sheep": 17}
_VALIDATION_SHARE = 0.125
_ANIMAL_PIXELS_AT_MOST = 0.01  # mammals and void, share of a background window; none of the category
_BOXED_PIXELS_AT_MOST = 0.1  # share inside the annotated boxes, which catch animals that masks miss
_TRIES_A_PHOTOGRAPH = 8


class VocMammalsData:
    """One mammal's crops and as many negatives, read in place.

    Args:
        category: one of cat, cow, dog, horse, sheep.
        root: the folder that holds the packs.
        seed: of the choice of negatives.

    Raises:
        InvalidSettings: if the pack has no such category.
    """

    def __init__(self, category: str, root: Path, seed: int) -> None:
        if category not in VOC_LABEL:
            raise InvalidSettings(f"voc_mammals has the categories {', '.join(VOC_LABEL)}, not {category!r}")
        self._category = category
        self._root = root
        self._seed = seed

    def load(self, split: Split) -> SiteDataset:
        """Read one split."""
        images, masks = self._positives(split)
        generator = np.random.default_rng(derive_seed("voc_mammals", self._category, split, str(self._seed)))
        elsewhere = self._random_photographs(split)
        elsewhere = elsewhere[generator.permutation(len(elsewhere))[: len(images) // 2]]
        windows = self._background_windows(split, len(images) - len(elsewhere), generator)
        negatives = np.concatenate([windows, elsewhere])
        void = np.full((len(negatives), TILE_PX, TILE_PX), VOID, np.uint8)
        labels = np.repeat(np.array([1, 0], np.uint8), [len(images), len(negatives)])
        order = generator.permutation(len(labels))
        return from_arrays(
            self._category,
            split,
            np.concatenate([images, negatives])[order],
            labels[order],
            np.concatenate([masks, void])[order],
        )

    def _positives(self, split: Split) -> tuple[ByteArray, ByteArray]:
        folder = pack_folder(self._root, "voc_mammals")
        index = pack_index(folder / "crops64.npz")
        count, label = int(index["n"]), VOC_LABEL[self._category]
        splits = [
            _split_of(str(name), bool(val))
            for name, val in zip(index["image_id"], index["is_val"], strict=True)
        ]
        mine = np.array([where is split for where in splits]) & (index["label"] == label)
        images = sheet_tiles(folder / "crops64.jpg", TILE_PX, count)[mine]
        coded = sheet_tiles(folder / "crops64_mask.png", TILE_PX, count)[mine]
        masks = np.where(coded == label, 1, np.where(coded == VOID, VOID, 0)).astype(np.uint8)
        return images, masks

    def _random_photographs(self, split: Split) -> ByteArray:
        folder = pack_folder(self._root, "animals64")
        index = pack_index(folder / "animals64.npz")
        negative = [str(name) for name in index["classes"]].index("negative")
        splits = [
            _split_of(str(name), bool(test))
            for name, test in zip(index["orig_file"], index["suggested_test"], strict=True)
        ]
        chosen = np.array([where is split for where in splits]) & (index["label"] == negative)
        return sheet_tiles(folder / "animals64.jpg", TILE_PX, int(index["n"]))[chosen]

    def _background_windows(self, split: Split, count: int, generator: np.random.Generator) -> ByteArray:
        """Cut windows without the category (and hardly any other mammal) out of the split's photographs."""
        folder = pack_folder(self._root, "voc_mammals")
        index = pack_index(folder / "voc_mammals_scenes128.npz")
        splits = [
            _split_of(str(name), bool(val))
            for name, val in zip(index["ids"], index["in_voc12_seg_val"], strict=True)
        ]
        photographs = np.flatnonzero(np.array([where is split for where in splits]))
        windows: list[ByteArray] = []
        for _ in range(20):
            for photograph in generator.permutation(photographs):
                window = self._background_window(index, int(photograph), generator)
                if window is not None:
                    windows.append(window)
                if len(windows) == count:
                    return np.stack(windows)
        raise DatasetInvalid(
            f"{folder} gives only {len(windows)} of {count} background windows for {self._category} {split}"
        )

    def _background_window(
        self, index: dict[str, np.ndarray], photograph: int, generator: np.random.Generator
    ) -> ByteArray | None:
        mask = blob_picture(index, "png", photograph)
        animal = np.isin(mask, [*VOC_LABEL.values(), VOID])
        own = mask == VOC_LABEL[self._category]
        boxed = np.zeros(mask.shape, np.bool_)
        for x_from, y_from, x_to, y_to in (
            index["box_xyxy"][index["box_image"] == photograph].round().astype(int)
        ):
            boxed[max(y_from, 0) : y_to, max(x_from, 0) : x_to] = True
        for _ in range(_TRIES_A_PHOTOGRAPH):
            top = int(generator.integers(0, mask.shape[0] - TILE_PX + 1))
            left = int(generator.integers(0, mask.shape[1] - TILE_PX + 1))
            window = np.s_[top : top + TILE_PX, left : left + TILE_PX]
            if (
                not own[window].any()
                and animal[window].mean() <= _ANIMAL_PIXELS_AT_MOST
                and boxed[window].mean() <= _BOXED_PIXELS_AT_MOST
            ):
                return blob_picture(index, "jpg", photograph)[window]
        return None


def _split_of(name: str, is_test: bool) -> Split:
    if is_test:
        return Split.TEST
    return Split.VALIDATION if share_of(name) < _VALIDATION_SHARE else Split.TRAIN
