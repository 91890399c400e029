"""The back-distillation loss: arXiv 1901.06978, equation 3 with the pseudo-gradients of equation 4b."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transplant.types import Task

if TYPE_CHECKING:
    from torch import Tensor

    from transplant.nets.learner_config import LearnerConfig


def scale_alpha(student_BCHW: Tensor, teacher_BCHW: Tensor) -> Tensor:
    """Return alpha = E||D'_T|| / E||D'_S||, detached: a scale, not a way to lower the loss."""
    norms = [gradient.detach().flatten(1).norm(dim=1).mean() for gradient in (teacher_BCHW, student_BCHW)]
    return norms[0] / norms[1].clamp(min=1e-12)


def distillation_loss(student_BCHW: Tensor, teacher_BCHW: Tensor, alpha: Tensor | float) -> Tensor:
    """Return ||alpha D'_S - D'_T||^2 / E||D'_T||^2, averaged over the samples.

    The paper leaves open whether its lambda = 10 / E[D'_T] means a norm or its square; the square makes
    the loss free of units, so lambda is 10 (classification) or 1 (segmentation) at every scale of g_T.
    """
    square = (alpha * student_BCHW - teacher_BCHW).square().flatten(1).sum(1).mean()
    return square / teacher_BCHW.detach().square().flatten(1).sum(1).mean().clamp(min=1e-20)


def lambda_of(config: LearnerConfig, task: Task) -> float:
    """Return the paper's lambda: 10 for classification and a tenth of it for segmentation, by default."""
    return config.weight if task is Task.CLASSIFICATION else config.weight / 10
