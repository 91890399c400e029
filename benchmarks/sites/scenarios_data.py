"""Labelled pictures of one data set before anybody holds them, and public pictures that nobody holds.

Every data set is read as single objects in one picture each, since the answer of a net over all its
categories is one category: CIFAR-10 and Tiny ImageNet as they are, VOC as the crops of its five mammals,
drawn scenes as the crops of their digits. Shape suffixes: N pictures, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from benchmarks.quality.natural_images import source_pictures
from benchmarks.quality.proxy import PACK, proxy_images
from benchmarks.sites.federation import OTHER
from edge.datasets import cifar10, voc_mammals
from edge.datasets.digit_scenes import CANVAS_PX, draw_scenes
from edge.datasets.pack_files import pack_folder, pack_index, sheet_tiles
from edge.datasets.site_dataset import Split
from transplant.artifact.digest import derive_seed
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

DATA = ("cifar10", "voc_mammals", "tiny", "scenes")
_TINY_CLASSES = 200
_DIGITS = 10
_CROP_GROWTH = 1.15  # of a digit's bounding box, as VOC's crops have it
_DRAWN_EACH = 500  # scenes are drawn, so there is no such thing as all of them


@dataclass(frozen=True, eq=False)
class Pool:
    """Pictures of a data set.

    Args:
        categories: those that take part; labels count them.
        images: to train on, uint8 (N, 3, H, W).
        labels: int64 (N,); OTHER where the picture shows a category of the data set that takes no part.
        shown: int64 (N,), the data set's own class of each picture: two OTHER may differ in it.
        test_images: of the categories that take part.
        test_labels: never OTHER.
        unlabelled: public pictures, none of them above; None where nobody asked for any.
    """

    categories: tuple[str, ...]
    images: Tensor
    labels: Tensor
    shown: Tensor
    test_images: Tensor
    test_labels: Tensor
    unlabelled: Tensor | None

    @property
    def image_px(self) -> int:
        """Side of a picture in pixels."""
        return int(self.images.shape[-1])


@dataclass(frozen=True, eq=False)
class _Origin:
    """One data set: its categories, and how pictures of given classes are read.

    `read` takes the split, at most how many pictures of a class (None: all), and a seed; it gives pictures
    uint8 (N, 3, H, W) and the place of each one's class among `categories`.
    """

    categories: tuple[str, ...]
    image_px: int
    read: Callable[[Split, int | None, int], tuple[np.ndarray, np.ndarray]]
    public: Callable[[int, int], Tensor]


def categories_of(data: str, root: Path | None) -> tuple[str, ...]:
    """Return all categories of a data set.

    Raises:
        InvalidSettings: if there is no such data set.
        DatasetNotFound: if its pack is not there.
    """
    return _origin(data, root).categories


def pool_of(
    data: str,
    root: Path | None,
    categories: Sequence[str],
    *,
    each: int | None,
    test_each: int,
    public: int,
    seed: int,
) -> Pool:
    """Read the pictures of a federation.

    Args:
        data: one of `DATA`.
        root: folder of the data packs; scenes need none.
        categories: those that take part.
        each: at most so many pictures of a class to train on; None: all there are (of scenes, 500).
        test_each: at most so many test pictures of a category.
        public: how many unlabelled public pictures; 0: none.
        seed: of every choice.

    Raises:
        InvalidSettings: for an unknown data set or category.
        DatasetNotFound: if a pack is not there.
    """
    origin = _origin(data, root)
    unknown = [name for name in categories if name not in origin.categories]
    if unknown:
        raise InvalidSettings(f"{data} has no category {', '.join(unknown)}: it has {_listed(origin)}")
    place = np.full(len(origin.categories), OTHER, np.int64)
    for number, name in enumerate(categories):
        place[origin.categories.index(name)] = number
    images, classes = origin.read(Split.TRAIN, each, seed)
    test_images, test_classes = origin.read(Split.TEST, test_each, seed)
    tested = place[test_classes] != OTHER
    return Pool(
        tuple(categories),
        torch.from_numpy(images),
        torch.from_numpy(place[classes]),
        torch.from_numpy(classes),
        torch.from_numpy(test_images[tested]),
        torch.from_numpy(place[test_classes][tested]),
        origin.public(public, seed) if public else None,
    )


def _listed(origin: _Origin) -> str:
    some = ", ".join(origin.categories[:_DIGITS])
    return (
        some if len(origin.categories) <= _DIGITS else f"{some} and {len(origin.categories) - _DIGITS} more"
    )


def _origin(data: str, root: Path | None) -> _Origin:
    if data == "scenes":
        return _Origin(tuple(f"digit-{digit}" for digit in range(_DIGITS)), CANVAS_PX, _digits, _more_digits)
    if data not in DATA:
        raise InvalidSettings(f"there is no data {data!r} of federations; there are {', '.join(DATA)}")
    if root is None:
        raise InvalidSettings(f"--data {data} lies in a data pack: set --data-root or TRANSPLANT_DATA")
    return {"cifar10": _cifar10, "tiny": _tiny, "voc_mammals": _mammals}[data](root)


def _chosen(classes: np.ndarray, each: int | None, generator: np.random.Generator) -> np.ndarray:
    """Return the places of at most `each` pictures of every class, in a random order."""
    parts = [generator.permutation(np.flatnonzero(classes == number))[:each] for number in np.unique(classes)]
    return generator.permutation(np.concatenate(parts))


def _generator(data: str, split: Split, seed: int) -> np.random.Generator:
    return np.random.default_rng(derive_seed("federation pictures", data, split, str(seed)))


def _upright(tiles_NHWC: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(tiles_NHWC.transpose(0, 3, 1, 2))


def _cifar10(root: Path) -> _Origin:
    def read(split: Split, each: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
        part = "test" if split is Split.TEST else "train"
        classes = cifar10.all_tiles(root, part)[1].astype(np.int64)
        rows = _chosen(classes, each, _generator("cifar10", split, seed))
        return _upright(cifar10.all_tiles(root, part, rows)[0]), classes[rows]

    return _Origin(cifar10.CLASSES, 32, read, lambda count, _: proxy_images(root / PACK, 32, count))


def _tiny(root: Path) -> _Origin:
    folder = pack_folder(root, PACK)
    names = [str(name).split(",")[0] for name in pack_index(folder / "tin32.npz")["names"]]

    def read(split: Split, each: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
        train, held = source_pictures(root, _TINY_CLASSES)
        pictures = held if split is Split.TEST else train
        rows = _chosen(pictures.labels_B.numpy(), each, _generator("tiny", split, seed))
        return pictures.images_BCHW.numpy()[rows], pictures.labels_B.numpy()[rows]

    def public(count: int, seed: int) -> Tensor:
        return torch.from_numpy(_cifar10(root).read(Split.TRAIN, -(-count // _DIGITS), seed)[0][:count])

    # Two of the names stand for two classes each: the number tells them apart.
    unique = tuple(
        name if names.count(name) == 1 else f"{name} {number}" for number, name in enumerate(names)
    )
    return _Origin(unique, 32, read, public)


def _mammals(root: Path) -> _Origin:
    labels: Mapping[str, int] = voc_mammals.VOC_LABEL
    names = tuple(labels)

    def read(split: Split, each: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
        folder = pack_folder(root, "voc_mammals")
        index = pack_index(folder / "crops64.npz")
        kind = np.full(max(labels.values()) + 1, OTHER, np.int64)
        for number, name in enumerate(names):
            kind[labels[name]] = number
        tested = index["is_val"].astype(bool)
        mine = np.flatnonzero(tested == (split is Split.TEST))
        classes = kind[index["label"][mine]]
        rows = _chosen(classes, each, _generator("voc_mammals", split, seed))
        tiles = sheet_tiles(folder / "crops64.jpg", voc_mammals.TILE_PX, int(index["n"]))[mine[rows]]
        return _upright(tiles), classes[rows]

    side = voc_mammals.TILE_PX
    return _Origin(names, side, read, lambda count, _: proxy_images(root / PACK, side, count))


def _digits(split: Split, each: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    return _drawn(split, _DRAWN_EACH if each is None else each, seed)


def _more_digits(count: int, seed: int) -> Tensor:
    return torch.from_numpy(_drawn(Split.VALIDATION, -(-count // _DIGITS), seed)[0][:count])


def _drawn(split: Split, each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = _generator("scenes", split, seed)
    crops: list[np.ndarray] = []
    for digit in range(_DIGITS):
        scenes = draw_scenes(digit, split, 2 * each, generator)  # every second scene shows the digit
        shown = [at for at in np.flatnonzero(scenes.labels) if scenes.masks[at].any()]
        crops += [_crop(scenes.images[at], scenes.masks[at]) for at in shown[:each]]
        # A digit that found no room in its scene is shown by none of its pixels: another one stands in.
        crops += crops[-1:] * (each - len(shown))
    classes = np.repeat(np.arange(_DIGITS, dtype=np.int64), each)
    order = generator.permutation(len(classes))
    return _upright(np.stack(crops)[order]), classes[order]


def _crop(image_HW3: np.ndarray, mask_HW: np.ndarray) -> np.ndarray:
    """Return the square around a digit, somewhat larger than its ink, at the side of the scene."""
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    height, width = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    side = min(CANVAS_PX, int(np.ceil(_CROP_GROWTH * max(height, width))))
    top = int(np.clip((rows[0] + rows[-1] + 1 - side) // 2, 0, CANVAS_PX - side))
    left = int(np.clip((columns[0] + columns[-1] + 1 - side) // 2, 0, CANVAS_PX - side))
    square = Image.fromarray(image_HW3[top : top + side, left : left + side])
    return np.asarray(square.resize((CANVAS_PX, CANVAS_PX), Image.Resampling.BICUBIC))
