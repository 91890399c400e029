"""What a supervising teacher answers to synthetic images: the targets where a category never taught a task.

The images are those of a probe (`transplant.datafree.probe`), chosen so that the supervisor's whole range of
answers is covered; the adapter then learns g_n(f_n(I)) from f(I) of the same images, as it would from
answers that a site had given. All of it is a function of the merge's seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transplant.datafree.probe import answer_probe
from transplant.datafree.procedural_images import GENERATOR_ID
from transplant.nets.disclosures import ProbeAnswers, ProbeRequest
from transplant.types import Task

if TYPE_CHECKING:
    from torch import nn

    from transplant.nets.learner_config import LearnerConfig

_GRID = 16
_SEEDS = 2**31


def supervised_answers(
    category_module: nn.Module, task_module: nn.Module, task: Task, image_px: int, config: LearnerConfig
) -> ProbeAnswers:
    """Return the answers of a supervising teacher: to half of the synthetic images that the settings allow.

    Args:
        category_module: f_n of the supervisor, in evaluation mode.
        task_module: g_n of the supervisor, in evaluation mode.
        task: what it answers.
        image_px: side of the images, which both categories' modules take.
        config: the learner's settings with the merge's seed.

    Raises:
        TensorNotFinite: if the supervisor answers an image with NaN or an infinity.
    """
    pool = config.synthetic_images
    request = ProbeRequest(
        generator=GENERATOR_ID,
        seed=config.seed % _SEEDS,
        pool=pool,
        count=max(1, pool // 2),
        image_px=image_px,
        drawings_percent=round(100 * config.drawings),
        grid=min(_GRID, image_px) if task is Task.SEGMENTATION else 1,
        task=task,
    )
    return answer_probe(request, category_module, task_module)
