"""Fine-tune a copy of a task module on several categories at once (arXiv 1901.06978, end of section 1.2.1).

"When a transplant net has been constructed, we can optionally fine-tune a task/category module based on
different categories/tasks to ensure the network generality." Here no image of any category is at hand:

    min_{g'} mean_c E_{x ~ q_c} l(g'(h_c(x)), g_c(x)),   g' starting at g_S,

where c runs over the routes that lead into g_S, h_c is each one's adapter (the identity for the category that
g_S was trained on), g_c is its own teacher's task module and q_c the synthetic x of function distillation.
Categories take turns, one batch each. g_S itself, every f and every h stay as they are: g' is a new module,
and `agreement` of before and after says whether it serves each of the categories better.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from transplant.datafree.function_distillation import (
    FunctionLearner,
    Material,
    agreement_on,
    imitation_loss,
)
from transplant.datafree.pipeline import best_source
from transplant.errors import MergeNotPossible
from transplant.nets.learning import LearnerState, step_generator
from transplant.nets.optimiser import adam_state, adam_step, cosine, load_parameters
from transplant.nets.placement import CPU, device_of, to_device
from transplant.nets.precision import mixed_precision

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transplant.nets.learner_config import LearnerConfig
    from transplant.nets.learning import AdapterProblem

_RATE = 0.05  # of an adapter's learning rate: g_S is trained already, h starts from nothing
_SEED_STEP = 32_452_843


@dataclass(frozen=True, eq=False)
class SharedRoute:
    """A category's way through the task module: its problem (f, g_c, g_S) and the adapter that it has."""

    category: str
    problem: AdapterProblem
    adapter: nn.Module


@dataclass(frozen=True, eq=False)
class FineTuned:
    """A new task module, and each category's data-free figures behind the old one and behind the new one."""

    task_module: nn.Module
    before: Mapping[str, dict[str, float]]
    after: Mapping[str, dict[str, float]]

    @property
    def worst_gain(self) -> float:
        """Return what the category that gains least gains in agreement, in points (negative: it loses)."""
        return min(self.after[name]["agreement"] - self.before[name]["agreement"] for name in self.before)


class FineTuner:
    """The steps of one fine-tuning; like a learner's, they are pure and resume to the same bits.

    Args:
        routes: of the categories that g' is to serve; two at least, all into the same g_S.

    Raises:
        MergeNotPossible: if they are fewer, or do not share one task module.
    """

    def __init__(self, routes: tuple[SharedRoute, ...]) -> None:
        if len(routes) < 2:
            raise MergeNotPossible(
                f"fine-tuning needs two categories or more behind one task module; got {len(routes)}"
            )
        self._shared = routes[0].problem.host_task_module
        if any(route.problem.host_task_module is not self._shared for route in routes):
            raise MergeNotPossible("these routes lead into different task modules: fine-tune one at a time")
        self._routes = routes
        self._function = FunctionLearner()

    def prepare(self, config: LearnerConfig) -> tuple[Material, ...]:
        """Synthesise x for each category, `config.synthetic_images` for all of them together."""
        each = max(1, config.synthetic_images // len(self._routes))
        return tuple(
            self._function.prepare(
                route.problem,
                replace(
                    config.with_seed(config.seed + place * _SEED_STEP),
                    synthetic_images=each,
                    source=best_source(route.problem),
                ),
            )
            for place, route in enumerate(self._routes)
        )

    def init(self) -> LearnerState:
        """Start at g_S."""
        return LearnerState(0, adam_state(self._shared))

    def step(
        self, config: LearnerConfig, materials: tuple[Material, ...], state: LearnerState
    ) -> tuple[LearnerState, dict[str, float]]:
        """Take one Adam step on a batch of the category whose turn it is."""
        place = state.step % len(self._routes)
        route, material = self._routes[place], materials[place]
        task_module = self._loaded(state)
        odds = to_device(material.odds, CPU)
        generator = step_generator(config, state.step)
        chosen = torch.multinomial(odds, config.batch, replacement=True, generator=generator)
        with mixed_precision(config.precision, device_of(task_module)):
            features, wanted = material.synthetic.batch(route.problem, chosen)
            with torch.no_grad():
                led = route.adapter(features)
            logits = task_module(led).to(torch.float32)
        loss = imitation_loss(logits, wanted, material.mean, material.deviation)
        loss.backward()
        rate = cosine(state.step, config.steps, _RATE * config.learning_rate)
        tensors = adam_step(task_module, state.tensors, state.step, rate)
        return LearnerState(state.step + 1, tensors), {"loss": float(loss.detach())}

    def finish(self, materials: tuple[Material, ...], state: LearnerState) -> FineTuned:
        """Return g', frozen, with the figures of every category on x that nothing was learned from."""
        task_module = self._loaded(state).requires_grad_(requires_grad=False).eval()
        return FineTuned(
            task_module, self._figures(materials, self._shared), self._figures(materials, task_module)
        )

    def _loaded(self, state: LearnerState) -> nn.Module:
        task_module = copy.deepcopy(self._shared).eval()  # dropout would blur what is imitated
        load_parameters(task_module, state.tensors)
        return task_module.requires_grad_()

    @torch.no_grad()
    def _figures(
        self, materials: tuple[Material, ...], task_module: nn.Module
    ) -> dict[str, dict[str, float]]:
        return {
            route.category: agreement_on(
                material.held_out, route.problem, nn.Sequential(route.adapter, task_module)
            )
            for route, material in zip(self._routes, materials, strict=True)
        }
