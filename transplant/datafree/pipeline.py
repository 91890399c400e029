"""`transplant`: the default way to learn an adapter, function distillation with its choices made.

It learns on the best source of x that it is given (public images, else what the site disclosed, else
procedural images), and it guards against the seeds on which an adapter goes astray: a few candidates
with different starts learn for a part of the steps, the one that agrees best with g_T on held-out x goes
on. It takes all of its steps only where it needs them: as soon as it explains nearly all of g_T's logits on
held-out x (two nets of one training do so within a tenth of the steps, strangers never), it goes over to
the end of its schedule, where small steps settle it. Both scores are data-free; labels, where there are any,
are learned from and never chosen by.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from transplant.datafree.function_distillation import FunctionLearner, Material
from transplant.nets.learning import AdapterProblem, LearnedAdapter, LearnerState
from transplant.types import Disclosure

if TYPE_CHECKING:
    from torch import Tensor

    from transplant.nets.learner_config import LearnerConfig

_SEED_STEP = 15_485_863
_LOOKS = (1 / 12, 1 / 2)  # where in a schedule the held-out score is looked at
_EXPLAINED = 0.97  # of the variance of g_T's logits: h has arrived
_SETTLING = 1 / 8  # of a schedule, at its end
_LEFT_OUT = "left_out"


def best_source(problem: AdapterProblem) -> str:
    """Return the source of x that promises most of those that the problem offers."""
    if problem.proxy_images is not None and len(problem.proxy_images):
        return "proxy"
    level = Disclosure.NONE if problem.statistics is None else problem.statistics.level
    return {Disclosure.PCA: "pca", Disclosure.MOMENTS: "moments"}.get(level, "procedural")


class TransplantLearner:
    """Candidates first, then the best of them to its end; state holds every candidate under its number.

    A state's step counts places of the schedule: one that has arrived leaves out the places before the end.
    `figures["steps"]` of the learned adapter says how many steps the best candidate really took.
    """

    def __init__(self) -> None:
        self._function = FunctionLearner()

    def total_steps(self, config: LearnerConfig) -> int:
        """Return the steps of all candidates' heats and of the last one's way to its end."""
        heat = _heat(config)
        return config.candidates * heat + config.steps - heat

    def prepare(self, problem: AdapterProblem, config: LearnerConfig) -> Material:
        """Synthesise x once for all candidates."""
        return self._function.prepare(problem, replace(config, source=best_source(problem)))

    def init(self, problem: AdapterProblem, config: LearnerConfig, material: Material) -> LearnerState:
        """Start every candidate."""
        tensors: dict[str, Tensor] = {}
        for candidate in range(config.candidates):
            state = self._function.init(problem, _of_candidate(config, candidate), material)
            tensors |= _numbered(candidate, state.tensors)
        return LearnerState(0, tensors)

    def step(
        self, problem: AdapterProblem, config: LearnerConfig, material: Material, state: LearnerState
    ) -> tuple[LearnerState, dict[str, float]]:
        """Take one step of the candidate whose turn it is; behind the heats the best one is left alone."""
        heat, tensors = _heat(config), state.tensors
        if state.step < config.candidates * heat:
            candidate, own_step = divmod(state.step, heat)
        else:
            tensors = self._survivor(problem, config, material, tensors)
            (candidate,), own_step = _candidates(tensors), state.step - (config.candidates - 1) * heat
        own = LearnerState(own_step, _own(candidate, tensors))
        of_candidate = _of_candidate(config, candidate)
        moved, figures = self._function.step(problem, of_candidate, material, own)
        left_out = self._places_left_out(problem, of_candidate, material, moved)
        if not left_out:
            return LearnerState(state.step + 1, tensors | _numbered(candidate, moved.tensors)), figures
        told = {_LEFT_OUT: torch.tensor(left_out)}
        settling = moved.step + left_out + (config.candidates - 1) * heat
        return LearnerState(settling, _numbered(candidate, moved.tensors | told)), figures

    def finish(
        self, problem: AdapterProblem, config: LearnerConfig, material: Material, state: LearnerState
    ) -> LearnedAdapter:
        """Return the adapter of the candidate that is left."""
        tensors = self._survivor(problem, config, material, state.tensors)
        (candidate,) = _candidates(tensors)
        learned = self._function.finish(
            problem, _of_candidate(config, candidate), material, LearnerState(0, _own(candidate, tensors))
        )
        left_out = int(_own(candidate, tensors).get(_LEFT_OUT, torch.tensor(0)))
        told = {"candidate": float(candidate), "steps": float(config.steps - left_out)}
        return replace(learned, figures=learned.figures | told)

    def _places_left_out(
        self, problem: AdapterProblem, config: LearnerConfig, material: Material, own: LearnerState
    ) -> int:
        """Return how many places of its schedule a candidate need not take: 0 unless it has arrived here."""
        settling = config.steps - int(_SETTLING * config.steps)
        if own.step >= settling or own.step not in {int(part * config.steps) for part in _LOOKS}:
            return 0
        figures = self._function.finish(problem, config, material, own).figures
        return settling - own.step if figures["logit_r2"] >= _EXPLAINED else 0

    @torch.no_grad()
    def _survivor(
        self, problem: AdapterProblem, config: LearnerConfig, material: Material, tensors: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Keep the tensors of the candidate whose held-out answers agree best with g_T."""
        candidates = _candidates(tensors)
        if len(candidates) == 1:
            return tensors
        scores: dict[int, float] = {}
        for candidate in candidates:
            state = LearnerState(0, _own(candidate, tensors))
            scores[candidate] = self._function.finish(problem, config, material, state).figures["agreement"]
        best = max(candidates, key=lambda candidate: scores[candidate])
        return _numbered(best, _own(best, tensors))


def _heat(config: LearnerConfig) -> int:
    """Return how many steps each candidate takes before one is chosen: a quarter of all."""
    return config.steps // 4 if config.candidates > 1 else 0


def _candidates(tensors: dict[str, Tensor]) -> list[int]:
    return sorted({int(name.split(".")[0]) for name in tensors})


def _of_candidate(config: LearnerConfig, candidate: int) -> LearnerConfig:
    return config.with_seed(config.seed + candidate * _SEED_STEP)


def _numbered(candidate: int, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{candidate}.{name}": tensor for name, tensor in tensors.items()}


def _own(candidate: int, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{candidate}."
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
