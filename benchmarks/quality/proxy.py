"""Public unlabelled images that a center may have: a folder of pictures, or the Tiny ImageNet pack."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from edge.datasets.pack_files import pack_index, sheet_tiles
from transplant.errors import DatasetInvalid, DatasetNotFound

if TYPE_CHECKING:
    from pathlib import Path

PACK = "tinyimagenet32"
PROXY_IMAGES = 6000
_SHEETS = 2  # of the pack's training images: 10,000 tiles each, classes interleaved
_SUFFIXES = {".jpg", ".jpeg", ".png"}


@lru_cache(maxsize=1)
def proxy_images(folder: Path, image_px: int, count: int = PROXY_IMAGES) -> Tensor:
    """Return up to `count` images, uint8 (N, 3, image_px, image_px), in the pack's or the names' order.

    Args:
        folder: the pack, or any folder of JPEG and PNG pictures (made square by scaling).
        image_px: side.
        count: at most so many; the pack's classes are interleaved, so fewer are still of all classes.

    Raises:
        DatasetNotFound: if there is no such folder, or no picture in it.
        DatasetInvalid: if a picture cannot be read.
    """
    if not folder.is_dir():
        raise DatasetNotFound(f"no folder {folder} of proxy images: set --proxy to pictures of your own")
    if (folder / "tin32.npz").is_file():
        return _scaled(_pack(folder, count), image_px)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)[:count]
    if not paths:
        raise DatasetNotFound(f"{folder} holds no .jpg or .png: set --proxy to a folder of pictures")
    return torch.from_numpy(np.stack([_picture(path, image_px) for path in paths])).permute(0, 3, 1, 2)


def _pack(folder: Path, count: int) -> Tensor:
    index = pack_index(folder / "tin32.npz")
    side, there = int(index["tile"]), len(index["y_train"])
    each = -(-there // _SHEETS)
    tiles = np.concatenate(
        [
            sheet_tiles(folder / f"tin32_train_{sheet}.jpg", side, each)
            for sheet in range(min(_SHEETS, -(-count // each)))
        ]
    )
    return torch.from_numpy(np.ascontiguousarray(tiles[:count].transpose(0, 3, 1, 2)))


def _picture(path: Path, image_px: int) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            scaled = picture.convert("RGB").resize((image_px, image_px), Image.Resampling.LANCZOS)
            return np.asarray(scaled, np.uint8)
    except (UnidentifiedImageError, OSError) as error:
        raise DatasetInvalid(f"{path} is not a readable picture: {error}") from error


def _scaled(images_u8: Tensor, image_px: int) -> Tensor:
    if images_u8.shape[-1] == image_px:
        return images_u8
    parts = [
        functional.interpolate(
            part.to(torch.float32), size=(image_px, image_px), mode="bicubic", antialias=True
        )
        for part in images_u8.split(256)
    ]
    return torch.cat([part.round().clamp(0, 255).to(torch.uint8) for part in parts])
