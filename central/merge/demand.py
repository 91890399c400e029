"""What a merge will take, estimated from its nets and its learner's settings. No torch, no measuring.

Memory is what a machine must have free for the worker; an estimate that is too small gets workers killed,
one that is too large leaves machines idle, so it errs upward by `_MARGIN`. Work only orders merges.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from central.merge.public_images import MOST, MOST_BYTES
from transplant.nets.architecture_table import image_px
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.pixel_budget import images_at_once
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from central.merge.tasks import MergeTask
    from transplant.artifact.manifest import Manifest

_PROCESS_BYTES = 400 << 20  # a Python with torch in it, before it has done anything
_MAPS_BYTES_PER_PIXEL = 1 << 10  # VGG-16's maps at work, see `transplant.nets.pixel_budget`
_MOST_IMAGES_BYTES = 1 << 30  # of synthetic images with their answers, as `transplant.datafree.sources` makes
_MARGIN = 1.25


@dataclass(frozen=True)
class Demand:
    """Of one merge.

    Attributes:
        memory_bytes: of the worker at its peak.
        work: pixels through the nets times their parameters; compares merges, and is no time.
    """

    memory_bytes: int
    work: float


def demand_of(task: MergeTask, nets: Sequence[Manifest]) -> Demand:
    """Return what a merge will take.

    Args:
        task: what is learned.
        nets: the manifests of every module that a worker loads for it, the teacher's f first.
    """
    config = LearnerConfig.from_dict(task.settings)
    side = image_px(nets[0].architecture.to_type())
    pixels = side**2
    parameters = sum(prod(spec.shape) for manifest in nets for spec in manifest.tensors)
    each = 3 * pixels + (4 * pixels if task.task is Task.SEGMENTATION else 4)
    images = min(config.synthetic_images * each, _MOST_IMAGES_BYTES) + config.held_out_images * each
    if task.proxy is not None:
        images += min(MOST * 3 * pixels, MOST_BYTES)
    at_once = max(config.batch, images_at_once(side))
    maps = at_once * pixels * _MAPS_BYTES_PER_PIXEL
    passes = config.steps * config.batch + config.synthetic_images + config.held_out_images
    return Demand(
        memory_bytes=round(_MARGIN * (_PROCESS_BYTES + 4 * parameters + images + maps)),
        work=float(passes * pixels * parameters),
    )
