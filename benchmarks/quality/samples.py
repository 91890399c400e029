"""The few labelled images of a cell: the same for every method, small choices inside larger ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmarks.presence import drawn_by_presence
from transplant.artifact.digest import derive_seed
from transplant.errors import DatasetInvalid
from transplant.nets.learning import LabelledSamples
from transplant.types import Task

if TYPE_CHECKING:
    from edge.datasets.site_dataset import SiteDataset


def labelled_samples(train: SiteDataset, task: Task, count: int, seed: int) -> LabelledSamples | None:
    """Draw `count` images with their targets.

    Args:
        train: the category's training split.
        task: classification takes half of them (rounded down) with the category, segmentation all.
        count: how many; 0 gives None.
        seed: of the choice.

    Raises:
        DatasetInvalid: if the split has too few of either kind.
    """
    if count == 0:
        return None
    images, targets = train.examples(task)
    drawn = derive_seed("labelled", train.category, task, str(seed))
    present, absent = drawn_by_presence(targets, drawn)
    wanted = count if task is Task.SEGMENTATION else count // 2
    positives, negatives = present[:wanted], absent[: count - wanted]
    if len(positives) + len(negatives) < count:
        raise DatasetInvalid(
            f"{count} labelled samples of {train.category} are asked, its training split has "
            f"{len(present)} with and {len(absent)} without it: use fewer --samples"
        )
    chosen = torch.cat([positives, negatives])
    return LabelledSamples(images[chosen], targets[chosen])
