"""Which labels a site spends where its policy allows a few: half of them show the category, if it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from transplant.errors import DatasetInvalid
from transplant.nets.learning import LabelledSamples

if TYPE_CHECKING:
    from torch import Tensor


def chosen_labels(labelled: LabelledSamples, count: int, generator: torch.Generator) -> LabelledSamples:
    """Return `count` labelled images, or all where there are fewer; a function of its arguments.

    Args:
        labelled: what there is; uint8 images (N, 3, H, W) and targets (N,) or (N, H, W).
        count: how many labels may be read, at least 1.
        generator: of the choice.

    Raises:
        DatasetInvalid: if there is no labelled image.
    """
    if not len(labelled.images):
        raise DatasetInvalid("labels are to be learned from, and there are none")
    order = torch.randperm(len(labelled.images), generator=generator)
    shows = _shows(labelled.targets)[order]
    with_category, without = order[shows], order[~shows]
    half = min(len(with_category), max(count - len(without), (count + 1) // 2))
    chosen = torch.cat([with_category[:half], without[: count - half]])
    return LabelledSamples(labelled.images[chosen], labelled.targets[chosen])


def _shows(targets: Tensor) -> Tensor:
    return (targets == 1).flatten(1).any(dim=1) if targets.ndim > 1 else targets == 1
