"""`jacobian-distill`: equation 3 with the *real* gradients D_S and D_T (Srinivas and Fleuret, 1803.00443).

Section 3.2 of arXiv 1901.06978 argues against it: real gradients need good feature maps inside g_S, which
need a good h. It costs a double backward pass, because D_S depends on h through every ReLU and pool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from transplant.backdistill.loss import distillation_loss, lambda_of, scale_alpha
from transplant.backdistill.sampled_learner import Draw, SampledLearner
from transplant.nets.finite import check_finite
from transplant.nets.placement import beside

if TYPE_CHECKING:
    from torch import Tensor, nn

    from transplant.nets.adapter import Adapter
    from transplant.nets.learner_config import LearnerConfig
    from transplant.nets.learning import AdapterProblem


class JacobianDistillLearner(SampledLearner):
    """min_h L(y_S, y*) + lambda ||alpha dJ/dx(y_S) - dJ/dx(y_T)||^2 for J = <G, y> with a random G."""

    def sample_terms(
        self,
        problem: AdapterProblem,
        config: LearnerConfig,
        adapter: Adapter,
        draw: Draw,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Return lambda times the relative squared distance of the two gradients at x.

        Raises:
            TensorNotFinite: if the teacher's gradient holds NaN or an infinity.
        """
        drawn = torch.rand(draw.logits.shape, generator=generator) * 2 - 1
        weights = beside(drawn, problem.host_task_module)
        at_teacher = _gradient(problem.teacher, draw.features, weights, keep_graph=False)
        check_finite(at_teacher, "the gradients of the teacher")
        student = torch.nn.Sequential(adapter, problem.host_task_module)
        at_student = _gradient(student, draw.features, weights, keep_graph=True)
        loss = distillation_loss(at_student, at_teacher, scale_alpha(at_student, at_teacher))
        return {"distillation": lambda_of(config, problem.task) * loss}


def _gradient(net: nn.Module, features_BCHW: Tensor, weights: Tensor, *, keep_graph: bool) -> Tensor:
    """Return d <G, net(x)> / dx, shape (B, C, H, W)."""
    inputs = features_BCHW.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad((net(inputs) * weights).sum(), inputs, create_graph=keep_graph)
    return gradient
