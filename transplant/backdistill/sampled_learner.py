"""What the iterative learners share: Adam on a sum of named terms, some of them over labelled samples.

The paper names neither optimiser nor steps: Adam with a cosine schedule here, the same for every method,
so that methods differ in their terms alone. Each method is a file that says its terms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from transplant.errors import InvalidSettings
from transplant.nets.finite import check_finite, check_finite_net
from transplant.nets.learner_config import LABEL_BOUND
from transplant.nets.learning import (
    AdapterProblem,
    LearnedAdapter,
    LearnerState,
    disclosed_beta,
    new_adapter,
    step_generator,
)
from transplant.nets.losses import task_loss
from transplant.nets.measures import as_images
from transplant.nets.optimiser import adam_state, adam_step, cosine, load_parameters
from transplant.nets.pixel_budget import images_at_once
from transplant.nets.placement import beside

if TYPE_CHECKING:
    from transplant.nets.adapter import Adapter
    from transplant.nets.learner_config import LearnerConfig


@dataclass(frozen=True)
class Material:
    """Features x = f(I) of the labelled samples with their targets (None without labels), and beta."""

    features: Tensor | None
    targets: Tensor | None
    beta: float


@dataclass(frozen=True)
class Draw:
    """One step's part of the labelled samples; empty tensors are never drawn."""

    features: Tensor
    targets: Tensor
    logits: Tensor  # y_S = g_S(h(x)), with its graph


class SampledLearner:
    """An iterative learner. Methods say their terms in `sample_terms` and `free_terms`."""

    def total_steps(self, config: LearnerConfig) -> int:
        """Return the number of Adam steps."""
        return config.steps

    @torch.no_grad()
    def prepare(self, problem: AdapterProblem, config: LearnerConfig) -> Material:
        """Run f over the labelled samples once.

        Raises:
            InvalidSettings: if the method cannot do without labelled samples and there are none.
            TensorNotFinite: if f answers one of them with NaN or an infinity, or a weight of g_T is such a
                number: dead ReLUs hide it from gradients, and D' does not see the biases.
        """
        beta = disclosed_beta(problem)
        if problem.teacher_task_module is not None:
            check_finite_net(problem.teacher_task_module, "the teacher's task module")
        if problem.labelled is None:
            if config.method in LABEL_BOUND:
                raise InvalidSettings(
                    f"{config.method} needs labelled samples: choose a method that does not"
                )
            return Material(None, None, beta)
        f, images = problem.category_module, problem.labelled.images
        parts = images.split(images_at_once(images.shape[-1], 64))
        features = torch.cat([f(as_images(beside(part, f))) for part in parts])
        check_finite(features, "the features of the teacher's category module")
        return Material(features, problem.labelled.targets, beta)

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
        """Take one Adam step on the sum of the method's terms."""
        adapter, _ = new_adapter(problem, config, material.beta)
        load_parameters(adapter, state.tensors)
        generator = step_generator(config, state.step)
        terms = self.free_terms(problem, config, adapter, generator)
        if material.features is not None and material.targets is not None:
            chosen = torch.randperm(len(material.features), generator=generator)[: config.batch]
            features = material.features[chosen]
            draw = Draw(features, material.targets[chosen], problem.host_task_module(adapter(features)))
            terms["task"] = task_loss(draw.logits, draw.targets, problem.task)
            terms |= self.sample_terms(problem, config, adapter, draw, generator)
        torch.stack(list(terms.values())).sum().backward()
        rate = cosine(state.step, config.steps, config.learning_rate)
        tensors = adam_step(adapter, state.tensors, state.step, rate)
        return LearnerState(state.step + 1, tensors), {
            name: float(value.detach()) for name, value in terms.items()
        }

    def finish(
        self, problem: AdapterProblem, config: LearnerConfig, material: Material, state: LearnerState
    ) -> LearnedAdapter:
        """Return the adapter of the last step."""
        adapter, architecture = new_adapter(problem, config, material.beta)
        load_parameters(adapter, state.tensors)
        return LearnedAdapter(adapter, architecture, {"beta": material.beta})

    def free_terms(
        self,
        problem: AdapterProblem,  # noqa: ARG002
        config: LearnerConfig,  # noqa: ARG002
        adapter: Adapter,  # noqa: ARG002
        generator: torch.Generator,  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """Return the terms that need no sample; none by default."""
        return {}

    def sample_terms(
        self,
        problem: AdapterProblem,  # noqa: ARG002
        config: LearnerConfig,  # noqa: ARG002
        adapter: Adapter,  # noqa: ARG002
        draw: Draw,  # noqa: ARG002
        generator: torch.Generator,  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """Return the terms on labelled samples beside the task loss; none by default."""
        return {}
