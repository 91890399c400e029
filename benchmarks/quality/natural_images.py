"""Images of the two ends of Jang et al. 2019 at 32 px: Tiny ImageNet for the source, CIFAR-10 for the target.

Shape suffixes: B images, C channels, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.quality.proxy import PACK, proxy_images
from edge.datasets.cifar10 import CLASSES, all_tiles
from edge.datasets.pack_files import pack_folder, pack_index, sheet_tiles
from transplant.artifact.digest import derive_seed
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path

_TRAIN, _PER_CLASS = 50_000, 5_000
TARGET_CLASSES = len(CLASSES)


@dataclass(frozen=True)
class Pictures:
    """uint8 images (B, 3, 32, 32) and their classes, int64 (B,)."""

    images_BCHW: Tensor
    labels_B: Tensor

    def part(self, rows: Tensor) -> Pictures:
        """Return some of them."""
        return Pictures(self.images_BCHW[rows], self.labels_B[rows])


@lru_cache(maxsize=2)
def source_pictures(root: Path, classes: int) -> tuple[Pictures, Pictures]:
    """Return training and validation images of the first `classes` classes of Tiny ImageNet's 200.

    Raises:
        DatasetNotFound: if the pack is not there.
    """
    folder = pack_folder(root, PACK)
    index = pack_index(folder / "tin32.npz")
    train = torch.from_numpy(index["y_train"].astype(np.int64))
    images = proxy_images(folder, 32, len(train))
    held = torch.from_numpy(index["y_val"].astype(np.int64))
    tiles = sheet_tiles(folder / "tin32_val_0.jpg", 32, len(held)).transpose(0, 3, 1, 2)
    first, second = (train < classes).nonzero().flatten(), (held < classes).nonzero().flatten()
    return (
        Pictures(images[first], train[first]),
        Pictures(torch.from_numpy(np.ascontiguousarray(tiles))[second], held[second]),
    )


def target_pictures(root: Path, samples: int, seed: int, test: int) -> tuple[Pictures, Pictures]:
    """Return `samples` training images a class of CIFAR-10, and its first `test` test images.

    Raises:
        InvalidSettings: for more samples than there are.
    """
    if not 1 <= samples <= _PER_CLASS:
        raise InvalidSettings(f"--samples takes 1 to {_PER_CLASS} images a class; got {samples}")
    labels, held = (all_tiles(root, part)[1] for part in ("train", "test"))
    generator = np.random.default_rng(derive_seed("l2t target", str(seed)))
    rows = np.concatenate(
        [generator.permutation(np.flatnonzero(labels == label))[:samples] for label in range(TARGET_CLASSES)]
    )
    train = all_tiles(root, "train", rows)
    shown = all_tiles(root, "test", np.arange(min(test, len(held))))
    return _pictures(*train), _pictures(*shown)


def _pictures(tiles: np.ndarray, labels: np.ndarray) -> Pictures:
    images = torch.from_numpy(np.ascontiguousarray(tiles.transpose(0, 3, 1, 2)))
    return Pictures(images, torch.from_numpy(labels.astype(np.int64)))


def standardised(images_u8: Tensor) -> Tensor:
    """Return float images of about zero mean and unit deviation."""
    return (images_u8.to(torch.float32) / 255 - 0.5) / 0.25


def moved(images_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Return each image shifted by up to 4 pixels and mirrored half of the time, as CIFAR is trained on."""
    count, _, height, width = images_BCHW.shape
    padded = functional.pad(images_BCHW, (4, 4, 4, 4))
    rows = torch.randint(9, (count, 1), generator=generator) + torch.arange(height)
    columns = torch.randint(9, (count, 1), generator=generator) + torch.arange(width)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    picked = padded.permute(0, 2, 3, 1)[
        torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]
    ]
    return picked.permute(0, 3, 1, 2).contiguous()
