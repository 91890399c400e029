"""Character images for layer transfer: pack `chars`, handwriting and computer fonts of 62 classes.

NIST SD19 is not to be had; Chars74K's handwriting and CHoiCe together have its 62 classes, about 100 images
of each. The paper's 400 images a class of the source are therefore the real ones and moved, turned and scaled
copies of them; the target's images, few or many, are real.

Shape suffixes: B samples, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from edge.datasets.pack_files import pack_folder, pack_index
from transplant.artifact.digest import derive_seed
from transplant.errors import InvalidSettings
from transplant.transfer.lenet import IMAGE_PX
from transplant.transfer.validation_folds import distorted

if TYPE_CHECKING:
    from pathlib import Path

CLASSES_EACH = 20
SOURCE_IMAGES = 400
TEST_IMAGES = 50
_HANDWRITING = ("chars74k_hnd_28.npz", "choice_28.npz")
_FONTS = ("chars74k_fnt_28.npz",)
SOURCES = {"chars": _HANDWRITING, "fonts": _FONTS}
"""`--data`: what the source net learned. The target is handwriting of other classes in either case."""


@dataclass(frozen=True)
class Characters:
    """Images (B, 1, 32, 32) of -1 (ground) to 1 (ink) and their classes, counted from 0: int64 (B,)."""

    images_B1HW: Tensor
    labels_B: Tensor


def source_characters(data: str, root: Path, draw: int) -> Characters:
    """Return 20 classes with 400 images each, distorted copies where there are no more.

    Args:
        data: an entry of `SOURCES`.
        root: folder of the data packs.
        draw: seed of the choice of classes and of the copies.
    """
    if data not in SOURCES:
        raise InvalidSettings(f"layer-transfer runs on {', '.join(SOURCES)}; got --data {data}")
    generator = torch.Generator().manual_seed(derive_seed("source characters", data, str(draw)))
    pack = _pack(root, SOURCES[data])
    images, labels = [], []
    for label, place in enumerate(_classes(draw)[0]):
        real = pack.images_B1HW[pack.labels_B == place][:SOURCE_IMAGES]
        copies = torch.arange(SOURCE_IMAGES - len(real)) % len(real)
        images += [real, distorted(real[copies], generator)] if len(copies) else [real]
        labels.append(torch.full((SOURCE_IMAGES,), label))
    return Characters(torch.cat(images), torch.cat(labels))


def target_characters(root: Path, draw: int, samples: int, trial: int) -> tuple[Characters, Characters]:
    """Return training and test images of 20 classes that the source has not seen, all handwritten.

    Small training sets of a trial lie inside its larger ones; its 1,000 test images are the same for all.

    Args:
        root: folder of the data packs.
        draw: seed of the choice of classes.
        samples: training images a class.
        trial: seed of the choice of images.

    Raises:
        InvalidSettings: if a class has too few images.
    """
    pack = _pack(root, _HANDWRITING)
    parts: list[tuple[Tensor, Tensor]] = []
    for place in _classes(draw)[1]:
        rows = (pack.labels_B == place).nonzero().flatten()
        if len(rows) < TEST_IMAGES + samples:
            raise InvalidSettings(
                f"--samples {samples}: a class has {len(rows)} images, {TEST_IMAGES} of them for the test"
            )
        order = torch.Generator().manual_seed(derive_seed("target characters", str(place), str(trial)))
        rows = rows[torch.randperm(len(rows), generator=order)]
        parts.append((rows[TEST_IMAGES : TEST_IMAGES + samples], rows[:TEST_IMAGES]))
    train, test = (
        Characters(
            torch.cat([pack.images_B1HW[part[which]] for part in parts]),
            torch.arange(CLASSES_EACH).repeat_interleave(count),
        )
        for which, count in ((0, samples), (1, TEST_IMAGES))
    )
    return train, test


def _classes(draw: int) -> tuple[list[int], list[int]]:
    """Return the source's and the target's classes: 20 and 20 others of the 62."""
    generator = torch.Generator().manual_seed(derive_seed("character classes", str(draw)))
    order = torch.randperm(62, generator=generator).tolist()
    return order[:CLASSES_EACH], order[CLASSES_EACH : 2 * CLASSES_EACH]


@lru_cache(maxsize=2)
def _pack(root: Path, files: tuple[str, ...]) -> Characters:
    indices = [pack_index(pack_folder(root, "chars") / file) for file in files]
    pixels = torch.from_numpy(np.concatenate([index["x"] for index in indices])).to(torch.float32)
    labels = torch.from_numpy(np.concatenate([index["y"] for index in indices]).astype(np.int64))
    border = (IMAGE_PX - pixels.shape[-1]) // 2
    return Characters(functional.pad(pixels / 127.5 - 1, [border] * 4, value=-1.0)[:, None], labels)
