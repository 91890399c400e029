"""What each subject compares: ours and its baseline, as functions that run once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmarks.speed.cases import Case, Subject
from benchmarks.speed.double_backward import DoubleBackwardLearner, shapes_of
from benchmarks.speed.nets import same_net_problem, strangers_problem
from transplant.backdistill.closed_form import ClosedFormLearner
from transplant.backdistill.gradient_pairs import random_output_gradient
from transplant.backdistill.learn_adapter import BackDistillLearner
from transplant.backdistill.pseudo_gradient import DummyMasks, DummyRule, pseudo_gradient
from transplant.errors import BenchmarkFailed
from transplant.nets.learning import run_learner
from transplant.nets.task_module import ClassificationModule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

OURS, BASELINE = "ours", "baseline"


@dataclass(frozen=True)
class Variant:
    """One way to do a case's work.

    Args:
        run: does it once and returns what it made.
        before: what must have happened before, untimed but part of what it needs in memory.
    """

    run: Callable[[], object]
    before: Callable[[], object] = lambda: None


def variants_of(case: Case) -> Mapping[str, Variant]:
    """Return `OURS` and `BASELINE` of a case.

    Raises:
        BenchmarkFailed: for a whole merge, which has a file of its own.
    """
    builders = {Subject.CHAIN: _chain, Subject.STEP: _step, Subject.LEARNER: _learner}
    if case.subject not in builders:
        raise BenchmarkFailed(f"{case.subject} is measured as a whole, not beside a variant")
    return builders[case.subject](case)


def _chain(case: Case) -> dict[str, Variant]:
    """One D', and one backward pass from the same G to the same x: no gradients of weights in either."""
    problem = same_net_problem(case)
    module, config = problem.teacher, case.config("back-distill")
    gradient = random_output_gradient(problem, config, case.batch, torch.Generator().manual_seed(1))
    _, at_seam = shapes_of(problem, config, case.batch)
    x = torch.rand(at_seam, generator=torch.Generator().manual_seed(2))
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_(True)
    held: list[Tensor] = []

    @torch.no_grad()
    def chained() -> Tensor:
        masks = DummyMasks(DummyRule(case.dummy), torch.Generator().manual_seed(3))
        return pseudo_gradient(module, gradient, masks)

    def backward() -> Tensor:
        return torch.autograd.grad(held.pop(), x, gradient)[0]

    return {OURS: Variant(chained), BASELINE: Variant(backward, lambda: held.append(_maps(module, x)))}


def _maps(module: nn.Module, x: Tensor) -> Tensor:
    """Return g's answers as a map, (B, 1, S, S), with their graph."""
    return module.layers(x) if isinstance(module, ClassificationModule) else module(x)


def _step(case: Case) -> dict[str, Variant]:
    """One step of both learners from the same state: the same G, dummies, loss and optimiser."""
    problem, config = strangers_problem(case), case.config("back-distill")

    def step_of(learner: BackDistillLearner) -> Callable[[], object]:
        material = learner.prepare(problem, config)
        state = learner.init(problem, config, material)
        return lambda: learner.step(problem, config, material, state)[1]

    return {OURS: Variant(step_of(BackDistillLearner())), BASELINE: Variant(step_of(DoubleBackwardLearner()))}


def _learner(case: Case) -> dict[str, Variant]:
    """Both learners from start to end on the same problem."""
    problem = same_net_problem(case)
    return {
        OURS: Variant(
            lambda: run_learner(ClosedFormLearner(alpha=1.0), problem, case.config("closed-form")).figures
        ),
        BASELINE: Variant(
            lambda: run_learner(BackDistillLearner(), problem, case.config("back-distill")).figures
        ),
    }
