"""The paper's learner: gradient descent on L(y_S, y*) + lambda ||alpha D'_S - D'_T||^2 (equation 3).

Without labelled samples the task loss is omitted, as in Experiment 1's last row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transplant.backdistill.gradient_pairs import gradient_pair
from transplant.backdistill.loss import distillation_loss, lambda_of, scale_alpha
from transplant.backdistill.pseudo_gradient import adapter_pseudo_gradient
from transplant.backdistill.sampled_learner import SampledLearner

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from transplant.nets.adapter import Adapter
    from transplant.nets.learner_config import LearnerConfig
    from transplant.nets.learning import AdapterProblem


class BackDistillLearner(SampledLearner):
    """Iterative back-distillation, with or without labelled samples."""

    def free_terms(
        self, problem: AdapterProblem, config: LearnerConfig, adapter: Adapter, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the distillation term on a fresh G and fresh dummies; it sees no feature map."""
        at_host, at_teacher = gradient_pair(problem, config, min(config.batch, config.masks), generator)
        at_features = adapter_pseudo_gradient(adapter, at_host)
        alpha = scale_alpha(at_features, at_teacher)
        loss = distillation_loss(at_features, at_teacher, alpha)
        return {"distillation": lambda_of(config, problem.task) * loss}
