"""The data of a host for table 4: every mammal but one, and four dissimilar categories, as one category.

The paper learns "a 'leave-one-out' classification/segmentation module to deal with all four dissimilar
categories and all mammal categories except the cat" and does not say with which labels. Here it is one
binary teacher: positive is any of these categories, negative is a picture of none of them. The category that
is left out is in neither part, so that g_S has never seen it.

CIFAR-10: other mammals (cat, deer, dog, horse) and airplane, automobile, ship, truck against bird and frog.
VOC crops: other mammals against their own negatives; the pack has no vehicles, so those of CIFAR-10 come
in, scaled to 64 px, and against them as many birds and frogs of CIFAR-10, or softness alone would tell.
They have no masks: segmentation is learned from the mammals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from edge.datasets.cifar10 import Cifar10Data
from edge.datasets.site_dataset import VOID, SiteDataset, Split
from edge.datasets.voc_mammals import TILE_PX, VOC_LABEL, VocMammalsData
from transplant.artifact.digest import derive_seed
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path

VEHICLES = ("airplane", "automobile", "ship", "truck")
CIFAR_MAMMALS = ("cat", "deer", "dog", "horse")
_CIFAR_OTHERS = ("bird", "frog")


class LeaveOneOutData:
    """All categories but one as one category; implements `edge.datasets.site_dataset.SiteData`.

    Args:
        data: "cifar10" or "voc_mammals".
        left_out: the category that the host must never see.
        root: folder of the data packs.
        seed: of every choice among pictures.

    Raises:
        InvalidSettings: if there is no such host.
    """

    def __init__(self, data: str, left_out: str, root: Path, seed: int) -> None:
        mammals = {"cifar10": CIFAR_MAMMALS, "voc_mammals": tuple(VOC_LABEL)}.get(data, ())
        if left_out not in mammals:
            raise InvalidSettings(
                f"no host leaves out {left_out!r} of {data!r}: there are the mammals of cifar10 and of "
                "voc_mammals"
            )
        self._mammals = tuple(mammal for mammal in mammals if mammal != left_out)
        self._data = data
        self._left_out = left_out
        self._root = root
        self._seed = seed

    def load(self, split: Split) -> SiteDataset:
        """Read one split."""
        order = torch.Generator().manual_seed(
            derive_seed("leave-one-out", self._data, self._left_out, split, str(self._seed))
        )
        images, labels, masks = self._cifar(split) if self._data == "cifar10" else self._voc(split)
        rows = torch.randperm(len(images), generator=order)
        return SiteDataset(
            f"all-but-{self._left_out}",
            split,
            images[rows].contiguous(),
            labels[rows],
            None if masks is None else masks[rows],
        )

    def _cifar(self, split: Split) -> tuple[Tensor, Tensor, None]:
        negatives = torch.cat([self._of_cifar(name, split) for name in _CIFAR_OTHERS])
        names = (*self._mammals, *VEHICLES)
        each = len(negatives) // len(names)
        positives = torch.cat([self._of_cifar(name, split)[:each] for name in names])
        return torch.cat([positives, negatives]), _labels(len(positives), len(negatives)), None

    def _voc(self, split: Split) -> tuple[Tensor, Tensor, Tensor]:
        mammals = [VocMammalsData(name, self._root, self._seed).load(split) for name in self._mammals]
        each = min(int(mammal.labels.sum()) for mammal in mammals)
        vehicles = torch.cat([_scaled(self._of_cifar(name, split)[:each]) for name in VEHICLES])
        others = [self._of_cifar(name, split)[: 2 * each] for name in _CIFAR_OTHERS]
        animals = torch.cat(others)[: len(vehicles)]
        images = [mammal.images for mammal in mammals]
        masks = [mammal.masks for mammal in mammals if mammal.masks is not None]  # the pack has them for all
        labels = [mammal.labels for mammal in mammals]
        scaled = _scaled(animals)
        void = torch.full((len(vehicles) + len(scaled), TILE_PX, TILE_PX), VOID, dtype=torch.uint8)
        return (
            torch.cat([*images, vehicles, scaled]),
            torch.cat([*labels, _labels(len(vehicles), len(scaled))]),
            torch.cat([*masks, void]),
        )

    def _of_cifar(self, name: str, split: Split) -> Tensor:
        found = Cifar10Data(name, self._root, self._seed).load(split)
        return found.images[found.labels == 1]


def _labels(positives: int, negatives: int) -> Tensor:
    return torch.cat([torch.ones(positives, dtype=torch.uint8), torch.zeros(negatives, dtype=torch.uint8)])


def _scaled(images_u8: Tensor) -> Tensor:
    scaled = functional.interpolate(
        images_u8.to(torch.float32), size=(TILE_PX, TILE_PX), mode="bicubic", antialias=True
    )
    return scaled.round().clamp(0, 255).to(torch.uint8)
