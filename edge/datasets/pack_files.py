"""Read the data packs: sheets of tiles, and blobs of encoded pictures inside an npz."""

from __future__ import annotations

import hashlib
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from transplant.errors import DatasetInvalid, DatasetNotFound

if TYPE_CHECKING:
    from pathlib import Path

ByteArray = NDArray[np.uint8]


def pack_folder(root: Path, pack: str) -> Path:
    """Return the folder of one pack.

    Raises:
        DatasetNotFound: naming the path that was looked at and what to set.
    """
    folder = root / pack
    if not folder.is_dir():
        raise DatasetNotFound(
            f"no data pack {pack} at {folder.absolute()}: set TRANSPLANT_DATA (or --data-root) to the folder "
            f"that holds {pack}/"
        )
    return folder


def pack_index(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of a pack's npz.

    Raises:
        DatasetNotFound: if the file is missing.
        DatasetInvalid: if it is not an npz of plain arrays.
    """
    if not path.is_file():
        raise DatasetNotFound(f"the data pack is incomplete: no {path.absolute()}")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetInvalid(f"{path} is not a readable npz: {error}") from error


def sheet_tiles(path: Path, tile_px: int, count: int) -> ByteArray:
    """Cut a sheet into its first `count` tiles, row by row: (N,T,T) or (N,T,T,3) uint8."""
    if not path.is_file():
        raise DatasetNotFound(f"the data pack is incomplete: no {path.absolute()}")
    try:
        with Image.open(path) as picture:
            sheet = np.asarray(picture)
    except (UnidentifiedImageError, OSError) as error:
        raise DatasetInvalid(f"{path} is not a readable picture: {error}") from error
    rows, columns = sheet.shape[0] // tile_px, sheet.shape[1] // tile_px
    if rows * columns < count:
        raise DatasetInvalid(f"{path} has room for {rows * columns} tiles of {tile_px} px, not {count}")
    grid = sheet.reshape((rows, tile_px, columns, tile_px, *sheet.shape[2:])).swapaxes(1, 2)
    return grid.reshape((rows * columns, tile_px, tile_px, *sheet.shape[2:]))[:count]


def blob_picture(index: dict[str, np.ndarray], kind: str, item: int) -> ByteArray:
    """Decode picture `item` of the blobs `kind` ("jpg" or "png") of a pack's npz."""
    offsets = index[f"{kind}_off"]
    data = index[kind][offsets[item] : offsets[item + 1]].tobytes()
    with Image.open(BytesIO(data)) as picture:
        return np.asarray(picture)


def share_of(name: str) -> float:
    """Return a fixed number in [0, 1) for a name, to cut parts that never move."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
