"""Turn what a user writes after `--data` into an opened origin of data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.datasets.cifar10 import Cifar10Data
from edge.datasets.folder import FolderData
from edge.datasets.scenes import ScenesData
from edge.datasets.site_dataset import Split
from edge.datasets.voc import VocData
from edge.datasets.voc_mammals import VocMammalsData
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from edge.datasets.site_dataset import SiteData, SiteDataset

_WITHOUT_PATH = ("scenes", "voc_mammals", "cifar10")
_WITH_PATH = ("folder", "voc")
_PHOTOGRAPH_PX = 64


@dataclass(frozen=True)
class DataSpec:
    """A parsed `--data`: the origin's name, and the path where it takes one."""

    origin: str
    path: Path | None = None


def parse_spec(text: str) -> DataSpec:
    """Parse "scenes", "voc_mammals", "cifar10", "folder:PATH" or "voc:ROOT".

    Raises:
        InvalidSettings: listing what is possible.
    """
    origin, colon, path = text.partition(":")
    if origin in _WITHOUT_PATH and not colon:
        return DataSpec(origin)
    if origin in _WITH_PATH and path:
        return DataSpec(origin, Path(path).expanduser())
    possible = ", ".join([*_WITHOUT_PATH, *(f"{name}:PATH" for name in _WITH_PATH)])
    raise InvalidSettings(f"--data {text!r} is none of {possible}")


def open_data(
    spec: DataSpec,
    category: str,
    *,
    home: Path,
    data_root: Path,
    seed: int,
    image_px: int | None = None,
    with_masks: bool | None = None,
) -> RememberedData:
    """Open an origin for one category.

    Args:
        spec: the parsed `--data`.
        category: the site's category.
        home: where a site keeps what it makes itself.
        data_root: the folder of the data packs.
        seed: of what is drawn or chosen.
        image_px: side to which a user's own pictures are scaled (64 where not told).
        with_masks: whether segmentation is asked of a folder; None: if it has masks.
    """
    side = _PHOTOGRAPH_PX if image_px is None else image_px
    return RememberedData(_origin(spec, category, home, data_root, seed, side, with_masks))


class RememberedData:
    """Reads every split of an origin once and keeps it: training, sealing and measuring ask again."""

    def __init__(self, origin: SiteData) -> None:
        self._origin = origin
        self._splits: dict[Split, SiteDataset] = {}

    def load(self, split: Split) -> SiteDataset:
        """Return one split; see `SiteData`."""
        if split not in self._splits:
            self._splits[split] = self._origin.load(split)
        return self._splits[split]

    @property
    def raw_bytes(self) -> int:
        """Return the uncompressed size of all splits."""
        return sum(self.load(split).raw_bytes for split in Split)


def _origin(
    spec: DataSpec,
    category: str,
    home: Path,
    data_root: Path,
    seed: int,
    side: int,
    with_masks: bool | None,
) -> SiteData:
    match spec.origin, spec.path:
        case "scenes", None:
            return ScenesData(category, home, seed)
        case "voc_mammals", None:
            return VocMammalsData(category, data_root, seed)
        case "cifar10", None:
            return Cifar10Data(category, data_root, seed)
        case "folder", Path() as path:
            return FolderData(category, path, side, with_masks)
        case "voc", Path() as path:
            return VocData(category, path, side, seed)
        case _:
            raise InvalidSettings(f"unknown origin of data {spec}")
