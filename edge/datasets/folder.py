"""A user's own pictures: `images/`, `masks/` and `labels.csv` in one folder.

    PATH/labels.csv      file,label[,split]     one row a picture; label 0 or 1; split train, validation
                                                or test (left out: 70/10/20 by a digest of the name)
    PATH/images/cow.jpg  any size, made square by scaling to the net's size
    PATH/masks/cow.png   one channel, as large as its picture; same stem

Masks are coded in one of two ways, and the whole folder in the same one. If any mask holds the value 1:
0 = background, 1 = the category, 255 = void. If none does: 0 = background, 255 = the category. A picture
labelled 0 needs no mask; without one it teaches classification only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.datasets.label_table import LabelRow, read_label_table
from edge.datasets.site_dataset import VOID, SiteDataset, Split, from_arrays
from transplant.artifact.picture import opened, squared
from transplant.errors import DatasetInvalid, DatasetNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

ByteArray = NDArray[np.uint8]


@dataclass(frozen=True)
class _Sample:
    row: LabelRow
    image: Path
    mask: Path | None


class FolderData:
    """A folder of pictures.

    Args:
        category: what label 1 stands for.
        path: the folder.
        image_px: side to which pictures are scaled.
        with_masks: whether segmentation is asked; None: if there is a `masks` folder.
    """

    def __init__(self, category: str, path: Path, image_px: int, with_masks: bool | None = None) -> None:
        self._category = category
        self._path = path
        self._image_px = image_px
        self._with_masks = (path / "masks").is_dir() if with_masks is None else with_masks

    def load(self, split: Split) -> SiteDataset:
        """Read one split.

        Raises:
            DatasetNotFound: if the folder, `images/` or `labels.csv` is missing.
            DatasetInvalid: naming the file and what is wrong with it (all bad rows of the CSV at once).
        """
        samples = self._samples()
        category_value = _category_value(sample.mask for sample in samples) if self._with_masks else 1
        chosen = [sample for sample in samples if sample.row.split is split]
        if not chosen:
            raise DatasetInvalid(
                f"{self._path}: no picture is in the {split} split; add pictures or say the split"
            )
        images = np.stack([self._image(sample.image) for sample in chosen])
        labels = np.array([sample.row.label for sample in chosen], np.uint8)
        masks = (
            np.stack([self._mask(sample, category_value) for sample in chosen]) if self._with_masks else None
        )
        return from_arrays(self._category, split, images, labels, masks)

    def _samples(self) -> list[_Sample]:
        if not self._path.is_dir():
            raise DatasetNotFound(
                f"no folder {self._path.absolute()}: give --data folder:PATH of your pictures"
            )
        images = self._path / "images"
        if not images.is_dir():
            raise DatasetNotFound(f"no folder {images.absolute()}: pictures are expected there")
        return [_Sample(row, images / row.file, self._mask_path(row)) for row in read_label_table(self._path)]

    def _mask_path(self, row: LabelRow) -> Path | None:
        if not self._with_masks:
            return None
        path = self._path / "masks" / f"{Path(row.file).stem}.png"
        if path.is_file():
            return path
        if row.label == 1:
            raise DatasetInvalid(
                f"{self._path / 'images' / row.file} shows {self._category} but has no mask {path}: "
                "add it, or train with --task classification"
            )
        return None

    def _image(self, path: Path) -> ByteArray:
        with opened(path) as picture:
            return squared(picture, self._image_px)

    def _mask(self, sample: _Sample, category_value: int) -> ByteArray:
        size = (self._image_px, self._image_px)
        if sample.mask is None:
            return np.full(size, VOID, np.uint8)
        with opened(sample.mask) as mask, opened(sample.image) as picture:
            if mask.size != picture.size:
                raise DatasetInvalid(f"{sample.mask} is {mask.size} pixels, its picture {picture.size}")
            coded = np.asarray(_one_channel(mask).resize(size, Image.Resampling.NEAREST), np.uint8)
        return np.where(coded == category_value, 1, coded).astype(np.uint8)


def _category_value(masks: Iterable[Path | None]) -> int:
    """Return 1 or 255, whichever marks the category in this folder; check every value on the way."""
    found: set[int] = set()
    for path in masks:
        if path is None:
            continue
        with opened(path) as mask:
            values = {int(value) for value in np.unique(np.asarray(_one_channel(mask)))}
        if not values <= {0, 1, 255}:
            raise DatasetInvalid(
                f"{path} holds the values {sorted(values)[:8]}: use 0/1, 0/1/255 (255 = void) or 0/255"
            )
        found |= values
    return 1 if 1 in found else 255


def _one_channel(mask: Image.Image) -> Image.Image:
    """A palette picture's indices are its values (as in VOC); other modes are taken as grey."""
    return mask if mask.mode in {"L", "P"} else mask.convert("L")
