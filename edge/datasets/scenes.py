"""The embedded default: a site that owns scenes of handwritten digits, one category a digit.

The scenes are drawn once and then lie at the site as its raw data, `SITEHOME/data/scenes.npz`. From
then on the file is the data: a later run with another seed reads it and draws nothing.
"""

from __future__ import annotations

import re
import zipfile
from io import BytesIO
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from edge.datasets.digit_scenes import draw_scenes
from edge.datasets.site_dataset import SiteDataset, Split, from_arrays
from transplant.artifact.digest import derive_seed
from transplant.artifact.durable_file import write_durably
from transplant.errors import DatasetInvalid, InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEFAULT_COUNTS: Mapping[Split, int] = MappingProxyType(
    {Split.TRAIN: 1600, Split.VALIDATION: 400, Split.TEST: 800}
)
_CATEGORY = re.compile(r"digit-([0-9])")


class ScenesData:
    """Scenes of one digit at one site.

    Args:
        category: "digit-0" to "digit-9".
        home: the site's home directory.
        seed: of the drawing, used the first time only.
        counts: scenes a split.

    Raises:
        InvalidSettings: if the category is no digit.
    """

    def __init__(
        self, category: str, home: Path, seed: int, counts: Mapping[Split, int] = DEFAULT_COUNTS
    ) -> None:
        match = _CATEGORY.fullmatch(category)
        if match is None:
            raise InvalidSettings(f"scenes has the categories digit-0 to digit-9, not {category!r}")
        self._digit = int(match.group(1))
        self._category = category
        self._seed = seed
        self._counts = counts
        self.path = home / "data" / "scenes.npz"

    def load(self, split: Split) -> SiteDataset:
        """Read one split, drawing the file first where there is none yet.

        Raises:
            DatasetInvalid: if the file is damaged or holds another category.
        """
        if not self.path.exists():
            self._materialise()
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                category = str(arrays["category"])
                images, labels, masks = (arrays[f"{split}_{part}"] for part in ("images", "labels", "masks"))
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise DatasetInvalid(
                f"{self.path} is not readable as scenes ({error}); delete it and it is drawn again"
            ) from error
        if category != self._category:
            raise DatasetInvalid(
                f"{self.path} holds {category}, this site is {self._category}: take another --home"
            )
        return from_arrays(
            category, split, images, labels, masks, mirror_invariant=False, colour_invariant=True
        )

    def _materialise(self) -> None:
        arrays: dict[str, np.ndarray] = {"category": np.array(self._category)}
        for split in Split:
            # each category draws its own scenes even where all sites use one seed
            generator = np.random.default_rng(derive_seed("scenes", self._category, split, str(self._seed)))
            scenes = draw_scenes(self._digit, split, self._counts[split], generator)
            arrays[f"{split}_images"] = scenes.images
            arrays[f"{split}_labels"] = scenes.labels
            arrays[f"{split}_masks"] = scenes.masks
        buffer = BytesIO()
        np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType] - savez also has a flag by keyword
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(self.path, buffer.getvalue())
