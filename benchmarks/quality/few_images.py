"""A site that has few pictures: so many with its category, and as many without, for training and validation.

The test split stays whole: what a teacher of few pictures is worth is measured on many.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from edge.datasets.site_dataset import Split
from transplant.artifact.digest import derive_seed
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from edge.datasets.site_dataset import SiteData, SiteDataset

FEWEST = 5
_VALIDATED = 5  # every fifth of the few is kept for validation
_STEPS = 1200  # of a training on few pictures, whose epochs are short


@dataclass(frozen=True)
class FewImagesData:
    """The first of a seeded order of the training pictures; implements `edge.datasets.SiteData`.

    Args:
        data: all that there is.
        images: how many with the category the site has, and how many without.
        seed: of the choice.
    """

    data: SiteData
    images: int
    seed: int

    def load(self, split: Split) -> SiteDataset:
        """Return one split; training and validation share the few.

        Raises:
            InvalidSettings: if there are not so many.
        """
        if split is Split.TEST:
            return self.data.load(split)
        whole = self.data.load(Split.TRAIN)
        order = torch.Generator().manual_seed(derive_seed("few images", whole.category, str(self.seed)))
        rows: list[torch.Tensor] = []
        for label in (1, 0):
            found = (whole.labels == label).nonzero().flatten()
            if len(found) < self.images:
                raise InvalidSettings(
                    f"--teacher-images {self.images}: {whole.category} has {len(found)} training pictures "
                    f"{'with' if label else 'without'} the category"
                )
            few = found[torch.randperm(len(found), generator=order)[: self.images]]
            held = torch.arange(self.images) % _VALIDATED == 0
            rows.append(few[held] if split is Split.VALIDATION else few[~held])
        chosen = torch.cat(rows)
        return replace(
            whole,
            split=split,
            images=whole.images[chosen],
            labels=whole.labels[chosen],
            masks=None if whole.masks is None else whole.masks[chosen],
        )


def epochs_of_few(images: int, batch_size: int, at_least: int) -> int:
    """Return how many epochs give a training on few pictures steps enough."""
    train = 2 * (images - len(range(0, images, _VALIDATED)))
    return max(at_least, -(-_STEPS // -(-train // batch_size)))
