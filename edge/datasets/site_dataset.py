"""What every origin of data gives: one split of one category, as frozen tensors.

Shape suffixes: N samples, H and W pixels. Images are uint8 (N,3,H,W); labels uint8 (N,), 1 where the
category is in the picture; masks uint8 (N,H,W), 1 on pixels of the category, 0 elsewhere, 255 = void.
A sample whose mask is void everywhere has no segmentation target (a negative photograph, say).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from transplant.errors import DatasetInvalid
from transplant.nets.measures import VOID
from transplant.nets.pixel_budget import images_at_once
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Iterator


class Split(StrEnum):
    """Which part of a site's data; no image is in two of them."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, eq=False)
class SiteDataset:
    """One split of one site's data.

    Args:
        category: the site's category.
        split: which part of the data this is.
        images: uint8 (N,3,H,W).
        labels: uint8 (N,), 0 or 1.
        masks: uint8 (N,H,W) of 0, 1, 255, or None where the origin has none.
        mirror_invariant: whether a picture mirrored left to right is as likely (not so for digits).
        colour_invariant: whether exchanging colour channels gives an equally likely picture.

    Raises:
        DatasetInvalid: if shapes, types or values do not fit together.
    """

    category: str
    split: Split
    images: Tensor
    labels: Tensor
    masks: Tensor | None
    mirror_invariant: bool = True
    colour_invariant: bool = False

    def __post_init__(self) -> None:
        count = len(self.images)
        where = f"{self.split} data of {self.category}"
        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or self.images.shape[1] != 3:
            raise DatasetInvalid(
                f"{where}: images must be uint8 (N,3,H,W), not {self.images.dtype} {tuple(self.images.shape)}"
            )
        if count == 0:
            raise DatasetInvalid(f"{where}: no images")
        if self.labels.dtype != torch.uint8 or self.labels.shape != (count,) or int(self.labels.max()) > 1:
            raise DatasetInvalid(f"{where}: labels must be uint8 ({count},) of 0 and 1")
        if self.masks is None:
            return
        if self.masks.dtype != torch.uint8 or self.masks.shape != (count, *self.images.shape[2:]):
            raise DatasetInvalid(
                f"{where}: masks must be uint8 like the images, not {tuple(self.masks.shape)}"
            )
        if bool(((self.masks > 1) & (self.masks != VOID)).any()):
            raise DatasetInvalid(f"{where}: mask values must be 0, 1 or {VOID}")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_px(self) -> int:
        """Side of an image in pixels (images of a site are square)."""
        return int(self.images.shape[-1])

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Return the tasks this data can teach."""
        return (Task.CLASSIFICATION,) if self.masks is None else (Task.CLASSIFICATION, Task.SEGMENTATION)

    @property
    def raw_bytes(self) -> int:
        """Return the size of images, labels and masks, uncompressed: what never leaves the site."""
        masks = 0 if self.masks is None else self.masks.numel()
        return self.images.numel() + self.labels.numel() + masks

    @cached_property
    def fingerprint(self) -> str:
        """Return the sha256 of everything in this split; it ties a checkpoint to its data."""
        digest = hashlib.sha256(f"{self.category}/{self.split}/{tuple(self.images.shape)}".encode())
        for part in (self.images, self.labels, self.masks):
            digest.update(b"none" if part is None else part.contiguous().numpy().data)
        return digest.hexdigest()

    def examples(self, task: Task) -> tuple[Tensor, Tensor]:
        """Return the images that have a target of this task, with the targets.

        Returns:
            uint8 (n,3,H,W) and uint8 (n,) for classification, (n,H,W) for segmentation; for the latter
            samples that are void everywhere are left out.

        Raises:
            DatasetInvalid: if the data has no masks and segmentation is asked.
        """
        if task is Task.CLASSIFICATION:
            return self.images, self.labels
        if self.masks is None:
            raise DatasetInvalid(f"{self.split} data of {self.category} has no masks: nothing to segment")
        told = (self.masks != VOID).flatten(1).any(dim=1)
        if not bool(told.any()):
            raise DatasetInvalid(f"{self.split} data of {self.category}: every mask is void everywhere")
        return (self.images, self.masks) if bool(told.all()) else (self.images[told], self.masks[told])

    def batches(self, task: Task, batch_size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield `examples(task)` in order, `batch_size` at a time [256 at 64 px, fewer of larger images]."""
        images, targets = self.examples(task)
        batch_size = batch_size or images_at_once(self.image_px, 256, 1 << 20)
        for start in range(0, len(images), batch_size):
            yield images[start : start + batch_size], targets[start : start + batch_size]


class SiteData(Protocol):
    """An origin of data, opened for one site and category."""

    def load(self, split: Split) -> SiteDataset:
        """Read one split.

        Raises:
            DatasetNotFound: if the files are not where they should be.
            DatasetInvalid: if they are there but broken.
        """
        ...


def from_arrays(
    category: str,
    split: Split,
    images_NHWC: np.ndarray,
    labels: np.ndarray,
    masks: np.ndarray | None,
    *,
    mirror_invariant: bool = True,
    colour_invariant: bool = False,
) -> SiteDataset:
    """Wrap numpy arrays as pictures come from files: uint8 (N,H,W,3), (N,), (N,H,W)."""
    return SiteDataset(
        category=category,
        split=split,
        images=torch.from_numpy(np.ascontiguousarray(images_NHWC.transpose(0, 3, 1, 2))),
        labels=torch.from_numpy(np.ascontiguousarray(labels, dtype=np.uint8)),
        masks=None if masks is None else torch.from_numpy(np.ascontiguousarray(masks, dtype=np.uint8)),
        mirror_invariant=mirror_invariant,
        colour_invariant=colour_invariant,
    )
