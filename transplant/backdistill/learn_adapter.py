"""The paper's learner: gradient descent on L(y_S, y*) + lambda ||alpha D'_S - D'_T||^2 (equation 3).

Without labelled samples the task loss is omitted, as in Experiment 1's last row. With labels and
lambda = 0 it is the `direct-learn` baseline. The paper names neither optimiser nor steps: Adam with a
cosine schedule here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from transplant.backdistill.gradient_pairs import gradient_pair
from transplant.backdistill.loss import distillation_loss, scale_alpha, task_loss
from transplant.backdistill.pseudo_gradient import adapter_pseudo_gradient
from transplant.errors import InvalidSettings
from transplant.nets.learning import (
    AdapterProblem,
    LearnedAdapter,
    LearnerConfig,
    LearnerState,
    new_adapter,
    step_generator,
)
from transplant.nets.measures import as_images
from transplant.nets.optimiser import adam_state, adam_step, cosine, load_parameters


@dataclass(frozen=True)
class Material:
    """Features of the labelled samples (none without labels) and beta."""

    features: Tensor | None
    beta: float


@dataclass(frozen=True)
class BackDistillLearner:
    """Iterative back-distillation, with or without labelled samples."""

    def total_steps(self, config: LearnerConfig) -> int:
        """Return the number of Adam steps."""
        return config.steps

    @torch.no_grad()
    def prepare(self, problem: AdapterProblem, config: LearnerConfig) -> Material:
        """Run f over the labelled samples once.

        Raises:
            InvalidSettings: if there is neither a label nor a distillation term to learn from.
        """
        if problem.labelled is None and config.weight == 0:
            raise InvalidSettings("direct-learn (weight = 0) needs labelled samples")
        norms = problem.host_mean_norm, problem.mean_norm
        beta = 1.0 if norms[0] is None or norms[1] is None else norms[0] / norms[1]
        if problem.labelled is None:
            return Material(None, beta)
        return Material(problem.category_module(as_images(problem.labelled.images)), beta)

    def init(self, problem: AdapterProblem, config: LearnerConfig, material: Material) -> LearnerState:
        """Start with random small deviations from the transparent adapter.

        Exactly transparent layers would leave the taps around the centre symmetric; the paper's own
        initialisation is not stated.
        """
        adapter, _ = new_adapter(problem, config, material.beta)
        adapter.start_near_transparent(0.5, 0.5, step_generator(config, -1))
        return LearnerState(0, adam_state(adapter))

    def step(
        self, problem: AdapterProblem, config: LearnerConfig, material: Material, state: LearnerState
    ) -> tuple[LearnerState, dict[str, float]]:
        """Take one Adam step on a fresh G, fresh dummies and a batch of the labelled samples."""
        adapter, _ = new_adapter(problem, config, material.beta)
        load_parameters(adapter, state.tensors)
        generator = step_generator(config, state.step)
        losses: dict[str, Tensor] = {}
        if config.weight > 0:
            at_host, at_teacher = gradient_pair(problem, config, min(config.batch, config.masks), generator)
            at_features = adapter_pseudo_gradient(adapter, at_host)
            alpha = scale_alpha(at_features, at_teacher)
            losses["distillation"] = config.weight * distillation_loss(at_features, at_teacher, alpha)
        if problem.labelled is not None and material.features is not None:
            chosen = torch.randperm(len(material.features), generator=generator)[: config.batch]
            logits = problem.host_task_module(adapter(material.features[chosen]))
            losses["task"] = task_loss(logits, problem.labelled.targets[chosen], problem.task)
        total = torch.stack(list(losses.values())).sum()
        total.backward()
        rate = cosine(state.step, config.steps, config.learning_rate)
        tensors = adam_step(adapter, state.tensors, state.step, rate)
        return LearnerState(state.step + 1, tensors), {
            name: float(value.detach()) for name, value in losses.items()
        }

    def finish(
        self, problem: AdapterProblem, config: LearnerConfig, material: Material, state: LearnerState
    ) -> LearnedAdapter:
        """Return the adapter of the last step."""
        adapter, architecture = new_adapter(problem, config, material.beta)
        load_parameters(adapter, state.tensors)
        return LearnedAdapter(adapter, architecture, {"beta": material.beta})
