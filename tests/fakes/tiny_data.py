"""Site data so small and easy that a teacher net learns it in a second."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from edge.datasets.site_dataset import SiteDataset, Split, from_arrays

if TYPE_CHECKING:
    from pathlib import Path


def square_pictures(count: int, seed: int, colour: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return dark pictures of 32 px; every second one shows a bright square of one colour channel."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 60, (count, 32, 32, 3), dtype=np.uint8)
    labels = (np.arange(count) % 2).astype(np.uint8)
    masks = np.zeros((count, 32, 32), np.uint8)
    for row in np.flatnonzero(labels):
        top, left = generator.integers(0, 20, 2)
        images[row, top : top + 12, left : left + 12, colour] = 250
        masks[row, top : top + 12, left : left + 12] = 1
    return images, labels, masks


@dataclass
class SquareData:
    """Implements `SiteData` in memory."""

    category: str = "square"
    count: int = 32
    colour: int = 0
    with_masks: bool = True
    loads: list[Split] = field(default_factory=list)

    def load(self, split: Split) -> SiteDataset:
        self.loads.append(split)
        images, labels, masks = square_pictures(self.count, list(Split).index(split), self.colour)
        return from_arrays(self.category, split, images, labels, masks if self.with_masks else None)


def write_folder(path: Path, count: int = 30, mask_value: int = 255) -> Path:
    """Write `SquareData` as a user's folder."""
    images, labels, masks = square_pictures(count, 0)
    (path / "images").mkdir(parents=True)
    (path / "masks").mkdir()
    rows = ["file,label"]
    for at in range(count):
        Image.fromarray(images[at]).save(path / "images" / f"p{at}.png")
        Image.fromarray(masks[at] * np.uint8(mask_value)).save(path / "masks" / f"p{at}.png")
        rows.append(f"p{at}.png,{labels[at]}")
    (path / "labels.csv").write_text("\n".join(rows) + "\n")
    return path
