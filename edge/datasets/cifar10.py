"""Pack `cifar10`: one class against the other nine, 32 px, classification only (it has no masks)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.datasets.pack_files import ByteArray, pack_folder, pack_index, sheet_tiles
from edge.datasets.site_dataset import SiteDataset, Split, from_arrays
from transplant.artifact.digest import derive_seed
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path

_TILE_PX = 32
_TILES_A_SHEET = 10_000
_SHEETS = {"train": 5, "test": 1}
_VALIDATION_FROM = 45_000  # the last tenth of train: the classes are interleaved there, so it is balanced
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Cifar10Data:
    """All pictures of one class and as many of the other nine, read in place.

    Args:
        category: a class of CIFAR-10.
        root: the folder that holds the packs.
        seed: of the choice of negatives.

    Raises:
        InvalidSettings: if there is no such class.
    """

    def __init__(self, category: str, root: Path, seed: int) -> None:
        if category not in CLASSES:
            raise InvalidSettings(f"cifar10 has the categories {', '.join(CLASSES)}, not {category!r}")
        self._category = category
        self._root = root
        self._seed = seed

    def load(self, split: Split) -> SiteDataset:
        """Read one split."""
        part = "test" if split is Split.TEST else "train"
        folder = pack_folder(self._root, "cifar10")
        classes = pack_index(folder / f"cifar10_{part}.npz")["label"]
        rows = np.arange(len(classes))
        if split is not Split.TEST:
            rows = rows[_VALIDATION_FROM:] if split is Split.VALIDATION else rows[:_VALIDATION_FROM]
        mine = classes[rows] == CLASSES.index(self._category)
        generator = np.random.default_rng(derive_seed("cifar10", self._category, split, str(self._seed)))
        others = generator.choice(rows[~mine], int(mine.sum()), replace=False)
        chosen = generator.permutation(np.concatenate([rows[mine], others]))
        labels = (classes[chosen] == CLASSES.index(self._category)).astype(np.uint8)
        return from_arrays(self._category, split, _tiles(folder, part, chosen), labels, None)


def all_tiles(root: Path, part: str, rows: np.ndarray | None = None) -> tuple[ByteArray, np.ndarray]:
    """Return tiles (N, 32, 32, 3) and classes of "train" or "test"; without `rows` the classes alone.

    Raises:
        DatasetNotFound: if the pack is not there.
    """
    folder = pack_folder(root, "cifar10")
    classes = pack_index(folder / f"cifar10_{part}.npz")["label"]
    if rows is None:
        return np.empty((0, _TILE_PX, _TILE_PX, 3), np.uint8), classes
    return _tiles(folder, part, rows), classes[rows]


def _tiles(folder: Path, part: str, rows: np.ndarray) -> ByteArray:
    """Read the tiles of the given rows, one sheet in memory at a time, in the order of `rows`."""
    images = np.empty((len(rows), _TILE_PX, _TILE_PX, 3), np.uint8)
    for sheet in range(_SHEETS[part]):
        here = rows // _TILES_A_SHEET == sheet
        if here.any():
            tiles = sheet_tiles(folder / f"cifar10_{part}_{sheet}.jpg", _TILE_PX, _TILES_A_SHEET)
            images[here] = tiles[rows[here] % _TILES_A_SHEET]
    return images
