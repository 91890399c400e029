"""PASCAL VOC 2012 segmentation, with SBD where it is there, from a root that the user already has.

Read through torchvision's own `VOCSegmentation` and `SBDataset`; nothing is downloaded. Positives are the
category's region (bounding box of its pixels, made 1.15 times as large, clipped to the photograph), scaled to
a square; negatives, as many where there are, are the centre squares of photographs without the category
and serve classification only. Test is VOC's val; validation is a fixed eighth of the photographs of train.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.datasets.pack_files import share_of
from edge.datasets.site_dataset import VOID, SiteDataset, Split, from_arrays
from transplant.artifact.digest import derive_seed
from transplant.errors import DatasetInvalid, DatasetNotFound, InvalidSettings
from transplant.nets.torchvision_ops import ensure_torchvision_ops

if TYPE_CHECKING:
    from collections.abc import Iterator

ByteArray = NDArray[np.uint8]
CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
_BOX_GROWTH = 1.15
_PIXELS_AT_LEAST = 0.04  # of the box: fewer is clutter, not an object
_VALIDATION_SHARE = 0.125


class VocData:
    """One VOC class from VOCdevkit (and SBD).

    Args:
        category: a VOC class.
        root: the folder that holds `VOCdevkit/VOC2012` and, if wanted, `sbd` (with `img` and `cls`).
        image_px: side to which regions are scaled.
        seed: of the choice of negatives.

    Raises:
        InvalidSettings: if VOC has no such class.
    """

    def __init__(self, category: str, root: Path, image_px: int, seed: int) -> None:
        if category not in CLASSES:
            raise InvalidSettings(f"VOC has the categories {', '.join(CLASSES)}, not {category!r}")
        self._category = category
        self._label = CLASSES.index(category) + 1
        self._root = root
        self._image_px = image_px
        self._seed = seed

    def load(self, split: Split) -> SiteDataset:
        """Read one split."""
        images: list[ByteArray] = []
        masks: list[ByteArray] = []
        elsewhere: list[ByteArray] = []
        for picture, coded in self._photographs(split):
            region = self._region(coded)
            if region is not None:
                images.append(self._scaled(picture, region, Image.Resampling.LANCZOS))
                cut = self._scaled(coded, region, Image.Resampling.NEAREST)
                masks.append(np.where(cut == self._label, 1, np.where(cut == VOID, VOID, 0)).astype(np.uint8))
            elif not (np.asarray(coded) == self._label).any():
                elsewhere.append(self._scaled(picture, _centre_square(picture), Image.Resampling.LANCZOS))
        if not images or not elsewhere:
            raise DatasetInvalid(
                f"{self._root}: {split}: {len(images)} of {self._category}, {len(elsewhere)} without"
            )
        generator = np.random.default_rng(derive_seed("voc", self._category, split, str(self._seed)))
        negatives = [elsewhere[at] for at in generator.permutation(len(elsewhere))[: len(images)]]
        void = [np.full((self._image_px, self._image_px), VOID, np.uint8)] * len(negatives)
        labels = np.repeat(np.array([1, 0], np.uint8), [len(images), len(negatives)])
        order = generator.permutation(len(labels))
        return from_arrays(
            self._category,
            split,
            np.stack(images + negatives)[order],
            labels[order],
            np.stack(masks + void)[order],
        )

    def _photographs(self, split: Split) -> Iterator[tuple[Image.Image, Image.Image]]:
        ensure_torchvision_ops()
        from torchvision.datasets import SBDataset, VOCSegmentation

        image_set = "val" if split is Split.TEST else "train"
        try:
            sources: list[Any] = [VOCSegmentation(str(self._root), year="2012", image_set=image_set)]
            if split is not Split.TEST and (self._root / "sbd").is_dir():
                sources.append(
                    SBDataset(str(self._root / "sbd"), image_set="train_noval", mode="segmentation")
                )
        except (RuntimeError, OSError) as error:
            raise DatasetNotFound(
                f"no VOC 2012 segmentation set below {self._root.absolute()} ({error}): give "
                "--data voc:ROOT, ROOT being the folder that holds VOCdevkit/VOC2012"
            ) from error
        for source in sources:
            for at, name in enumerate(source.images):
                held_out = share_of(Path(name).stem) < _VALIDATION_SHARE
                if split is Split.TEST or held_out is (split is Split.VALIDATION):
                    yield source[at]

    def _region(self, coded: Image.Image) -> tuple[int, int, int, int] | None:
        """Return the grown bounding box (left, top, right, bottom) of the category's pixels."""
        own = np.asarray(coded) == self._label
        if not own.any():
            return None
        rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
        top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
        if own.sum() < _PIXELS_AT_LEAST * (bottom - top) * (right - left):
            return None
        grow_y, grow_x = ((side * (_BOX_GROWTH - 1) / 2) for side in (bottom - top, right - left))
        return (
            max(0, round(left - grow_x)),
            max(0, round(top - grow_y)),
            min(coded.width, round(right + grow_x)),
            min(coded.height, round(bottom + grow_y)),
        )

    def _scaled(
        self, picture: Image.Image, region: tuple[int, int, int, int], method: Image.Resampling
    ) -> ByteArray:
        side = (self._image_px, self._image_px)
        return np.asarray(picture.crop(region).resize(side, method), np.uint8)


def _centre_square(picture: Image.Image) -> tuple[int, int, int, int]:
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return left, top, left + side, top + side
