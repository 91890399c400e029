"""The data of one site of a cell, opened in whatever process needs it and remembered there for a while."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from benchmarks.quality.experiment import LEAVE_ONE_OUT
from benchmarks.quality.leave_one_out import LeaveOneOutData
from edge.datasets.open_data import open_data, parse_spec

if TYPE_CHECKING:
    from pathlib import Path

    from edge.datasets.site_dataset import SiteData, SiteDataset, Split

_REMEMBERED_SPLITS = 4


@dataclass(frozen=True)
class SiteKey:
    """Whose data: the same key is the same data in every process.

    `home` is where data that a site draws for itself is kept; `data_root` holds the packs.
    """

    data: str
    category: str
    seed: int
    home: Path
    data_root: Path

    def load(self, split: Split) -> SiteDataset:
        """Return one split; implements `edge.datasets.site_dataset.SiteData`."""
        return _split(self, split)


@lru_cache(maxsize=_REMEMBERED_SPLITS)
def _split(key: SiteKey, split: Split) -> SiteDataset:
    return _opened(key).load(split)


def _opened(key: SiteKey) -> SiteData:
    if key.category.startswith(LEAVE_ONE_OUT):
        return LeaveOneOutData(key.data, key.category.removeprefix(LEAVE_ONE_OUT), key.data_root, key.seed)
    return open_data(
        parse_spec(key.data),
        key.category,
        home=key.home / f"{key.data}-{key.category}-{key.seed}",
        data_root=key.data_root,
        seed=key.seed,
    )
