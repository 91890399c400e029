"""Random output gradients G and the pair (B, D'_T) that they give: what both learners fit an adapter to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from transplant.backdistill.layer_geometry import shared_dummy, spaced_for
from transplant.backdistill.pseudo_gradient import DummyMasks, DummyRule, pseudo_gradient
from transplant.nets.architecture_table import image_px
from transplant.nets.finite import check_finite
from transplant.nets.placement import beside
from transplant.types import Task

if TYPE_CHECKING:
    from transplant.nets.learner_config import LearnerConfig
    from transplant.nets.learning import AdapterProblem


def random_output_gradient(
    problem: AdapterProblem, config: LearnerConfig, count: int, generator: torch.Generator
) -> Tensor:
    """Return G in [-1, 1] (arXiv 1901.06978, 'Computation of G').

    Shapes: (count, 1, S, S) with S = `config.enlarged_side` for classification, where S = 1 means the
    constant G = 1 of Experiment 1; (count, 1, H, W) at image size for segmentation.
    """
    if problem.task is Task.CLASSIFICATION:
        side = config.enlarged_side
        if side == 1:
            return torch.ones(count, 1, 1, 1)
    else:
        side = image_px(problem.host_architecture)
    return torch.rand((count, 1, side, side), generator=generator) * 2 - 1


@torch.no_grad()
def gradient_pair(
    problem: AdapterProblem, config: LearnerConfig, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return (B, D'_T): pseudo-gradients at g_S's input and at g_T's, for the same G and the same dummies.

    Both are of one size, whatever the depth of the two; where their layers differ, the dummies are the first
    ones (`transplant.backdistill.layer_geometry`).

    Raises:
        TensorNotFinite: if D'_T holds NaN or an infinity.
    """
    host, teacher = problem.host_task_module, problem.teacher
    masks = DummyMasks(shared_dummy(DummyRule(config.dummy), host, teacher), generator)
    drawn = random_output_gradient(problem, config, count, generator)
    gradient = beside(drawn, host)
    at_host = pseudo_gradient(host, spaced_for(host, teacher, gradient), masks)
    at_teacher = pseudo_gradient(teacher, spaced_for(teacher, host, gradient), masks)
    return at_host, check_finite(at_teacher, "the pseudo-gradients of the teacher")
