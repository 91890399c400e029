"""Public unlabelled pictures that the operator gives: looked at, kept in the center's home, read by workers.

What a merge learned on must stay what it was, whatever becomes of the operator's folder: `serve` copies the
pictures once into `<home>/public-images/<digest>`, and a task names the digest among its inputs. Workers on
other machines of a Ray find the copy where they find their workbench, in the home that they all mount.

The digest is of the pictures' bytes in the order of their names; the names themselves do not count.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from transplant.artifact.digest import sha256_file
from transplant.artifact.durable_file import storage_errors, sync_directory, sync_file
from transplant.artifact.picture import SUFFIXES, check_picture, opened, squared
from transplant.errors import DatasetInvalid, DatasetNotFound
from transplant.nets.learner_config import FEWEST_PUBLIC_IMAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MOST = 6000
"""Pictures that are kept of a folder: more gave no better adapters."""
MOST_BYTES = 1 << 30
"""Of the pictures of one merge, at its nets' size: all of them up to 240 px."""


@dataclass(frozen=True)
class PublicImages:
    """The pictures of a folder that count: at most `MOST`, evenly over the names."""

    paths: tuple[Path, ...]
    digest: str


def look_at_public_images(folder: Path) -> PublicImages:
    """Look at every picture of a folder and of those below it.

    Raises:
        DatasetNotFound: if the folder is missing, or holds too few pictures.
        DatasetInvalid: if one of them is no readable picture.
    """
    if not folder.is_dir():
        raise DatasetNotFound(
            f"no folder {folder}: set proxy to a folder of public pictures, or leave it out"
        )
    found = sorted(
        (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES),
        key=lambda path: path.relative_to(folder).as_posix(),
    )
    if len(found) < FEWEST_PUBLIC_IMAGES:
        raise DatasetNotFound(
            f"{folder} holds {len(found)} pictures ({', '.join(sorted(SUFFIXES))}) that this user can see, "
            f"and at least {FEWEST_PUBLIC_IMAGES} are needed, some thousands at best: add public ones, or "
            "leave proxy out"
        )
    paths = evenly(found, MOST)
    total = hashlib.sha256()
    for path in paths:
        check_picture(path)
        total.update(bytes.fromhex(_digest(path)))
    return PublicImages(tuple(paths), total.hexdigest())


def keep_public_images(folder: Path, gallery: Path) -> str:
    """Copy the pictures of a folder to `gallery / digest`, unless they are there already; return the digest.

    Raises:
        DatasetNotFound: as `look_at_public_images`.
        DatasetInvalid: as `look_at_public_images`.
        StorageFull: if the disk has no room for them; nothing is left half-copied.
    """
    found = look_at_public_images(folder)
    place = gallery / found.digest
    if place.is_dir():
        return found.digest
    with storage_errors(gallery):
        gallery.mkdir(parents=True, exist_ok=True)
        copy = Path(tempfile.mkdtemp(prefix=".", dir=gallery))
        try:
            for number, path in enumerate(found.paths):
                target = copy / f"{number:05d}{path.suffix.lower()}"
                shutil.copyfile(path, target)
                sync_file(target)
            copy.chmod(0o755)
            sync_directory(copy)
            copy.rename(place)
        except BaseException:
            shutil.rmtree(copy, ignore_errors=True)
            if not place.is_dir():  # else another process was first, with the same pictures
                raise
    sync_directory(gallery)
    return found.digest


def read_public_images(kept: Path, digest: str, image_px: int) -> NDArray[np.uint8]:
    """Return kept pictures as squares, uint8 (N, 3, image_px, image_px), N bounded by `MOST_BYTES`.

    Args:
        kept: a folder that `keep_public_images` made.
        digest: what the task says of them.
        image_px: side; pictures are made square by scaling.

    Raises:
        DatasetNotFound: if the copy is gone.
        DatasetInvalid: if it is not what the task was planned with.
    """
    if not kept.is_dir():
        raise DatasetNotFound(
            f"the public images of this merge are not in {kept}: serve once more with proxy set to the same "
            "pictures, and mount the center's home on every Ray node"
        )
    found = look_at_public_images(kept)
    if found.digest != digest:
        raise DatasetInvalid(
            f"the pictures in {kept} were changed: remove that folder, and serve with proxy set to the "
            "pictures that it was made of"
        )
    paths = evenly(found.paths, max(FEWEST_PUBLIC_IMAGES, MOST_BYTES // (3 * image_px**2)))
    images = np.empty((len(paths), 3, image_px, image_px), np.uint8)
    for place, path in enumerate(paths):
        with opened(path) as picture:
            images[place] = squared(picture, image_px).transpose(2, 0, 1)
    return images


def evenly(paths: Sequence[Path], most: int) -> Sequence[Path]:
    """Return at most so many, evenly over all: names often say the kind of picture first."""
    if len(paths) <= most:
        return paths
    return [paths[place * len(paths) // most] for place in range(most)]


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise DatasetInvalid(
            f"{path} cannot be read ({error.strerror}): give this user the right to"
        ) from error
