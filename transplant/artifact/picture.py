"""Pictures as nets take them: any size and any usual format in, RGB squares of the net's side out."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from transplant.errors import DatasetInvalid, ImagesInvalid

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_SENT_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_SENT_PIXELS = 1 << 24
_UNREADABLE = (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def opened(path: Path) -> Image.Image:
    """Return a picture of one's own, read whole.

    Raises:
        DatasetInvalid: if the file is no readable picture, or one that would take too much memory.
    """
    try:
        picture = Image.open(path)
        picture.load()
    except _UNREADABLE as error:
        raise DatasetInvalid(f"{path} is not a readable picture: {error}") from error
    return picture


def check_picture(path: Path) -> None:
    """Look at the head of a picture of one's own, without unpacking it.

    Raises:
        DatasetInvalid: if the file is no picture, or cannot be read.
    """
    try:
        Image.open(path).close()
    except _UNREADABLE as error:
        raise DatasetInvalid(f"{path} is not a readable picture: {error}") from error


def received(data: bytes) -> Image.Image:
    """Return a picture that somebody sent; its size is checked before it is unpacked.

    Raises:
        ImagesInvalid: if it is no picture of a format that is taken, damaged, or larger than 2^24 pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the bound below is lower
            picture = Image.open(io.BytesIO(data), formats=_SENT_FORMATS)
        if picture.width * picture.height > _SENT_PIXELS:
            raise ImagesInvalid(
                f"a picture of {picture.width} x {picture.height} pixels; at most {_SENT_PIXELS} are taken"
            )
        picture.load()
    except _UNREADABLE as error:
        raise ImagesInvalid(f"not a readable picture ({', '.join(_SENT_FORMATS)}): {error}") from error
    return picture


def squared(picture: Image.Image, image_px: int) -> NDArray[np.uint8]:
    """Return RGB values, uint8 (image_px, image_px, 3)."""
    scaled = picture.convert("RGB").resize((image_px, image_px), Image.Resampling.LANCZOS)
    return np.asarray(scaled, np.uint8)


def mask_png(mask: NDArray[np.bool_], size: tuple[int, int]) -> bytes:
    """Return a mask (side, side) as a PNG of the picture's size: 255 is the category, 0 is not."""
    picture = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.NEAREST)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
