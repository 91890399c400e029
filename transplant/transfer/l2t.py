"""Learning what and where to transfer, L2T-ww and L2T-w (Jang, Lee, Hwang, Shin, ICML 2019, algorithm 1).

Each step trains the target on L_org + beta L_wfm; then a look-ahead from there (T steps on L_wfm alone, one
on L_org) shows what the matching that the meta nets chose leads to, and its gradient trains the meta nets
with Adam. The sources see a batch once, in the first part; the look-ahead's weights exist only while its
gradient is taken, so the step leaves the target where the first part brought it. Batch norms of the
look-ahead use their batch's statistics and leave the running ones alone.

L2T-w learns what alone (`MatchingScheme(channel_weights=True)`), L2T-ww both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from transplant.nets.optimiser import adam_state, adam_step, load_parameters
from transplant.transfer import borrowing
from transplant.transfer.borrowing import BorrowingProblem, Student, TrainingConfig, TrainingState
from transplant.transfer.meta_gradient import LookAhead, MetaMode, meta_gradient
from transplant.transfer.weighted_matching import MetaNets, Projections, matching_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transplant.transfer.borrowing import Given
    from transplant.transfer.momentum_sgd import MomentumSgd, Named
    from transplant.transfer.tapped_net import Seen, TappedNet
    from transplant.transfer.weighted_matching import MatchingScheme, Shape


@dataclass(frozen=True)
class L2TConfig:
    """The settings of a training; the defaults are the paper's for 32 px.

    Args:
        training: of the target.
        beta: weight of L_wfm beside L_org.
        matching_steps: T of the look-ahead.
        meta_learning_rate: of Adam on the meta nets.
        meta_weight_decay: of theirs.
        meta_mode: how the meta-gradient is taken.
    """

    training: TrainingConfig
    beta: float = 0.5
    matching_steps: int = 2
    meta_learning_rate: float = 1e-4
    meta_weight_decay: float = 1e-4
    meta_mode: MetaMode = "exact"


class WeightedMatching(nn.Module):
    """The borrower of L2T: beta times L_wfm with the coefficients that the meta nets gave for the batch.

    Coefficients and resized maps are no weights of the target: they are set once for each batch.
    """

    def __init__(
        self,
        scheme: MatchingScheme,
        source: Sequence[Shape],
        target: Sequence[Shape],
        generator: torch.Generator,
        beta: float,
    ) -> None:
        super().__init__()
        self.projections = Projections(scheme.pairs, source, target, generator)
        self.beta = beta
        self.coefficients: list[Tensor] = []
        self.wanted: dict[int, Tensor] = {}

    def forward(self, _given: Given, seen: Seen) -> Tensor:
        """Return the penalty of a batch."""
        return self.beta * matching_loss(self.coefficients, self.projections(self.wanted, seen.features))


@dataclass(frozen=True, eq=False)
class L2TProblem:
    """What is to be learned, from whom.

    Args:
        borrowing: the student with one `WeightedMatching`, its sources and L_org.
        matching: that borrower.
        meta_nets: where training them starts.
    """

    borrowing: BorrowingProblem
    matching: WeightedMatching
    meta_nets: MetaNets


@dataclass(frozen=True)
class L2TState:
    """Everything that the next step depends on: the target's training, the meta nets and Adam's moments."""

    training: TrainingState
    meta: Named = field(default_factory=dict[str, Tensor])


def l2t_problem(
    target: TappedNet,
    sources: tuple[TappedNet, ...],
    scheme: MatchingScheme,
    task_loss: Callable[[Any, Tensor], Tensor],
    images_BCHW: Tensor,
    config: L2TConfig,
    generator: torch.Generator,
) -> L2TProblem:
    """Return the problem of one target and its sources.

    Args:
        target: the net to be trained; its weights are where training starts.
        sources: the nets to learn from, in evaluation mode.
        scheme: which maps are matched, and what is learned about that.
        task_loss: (answers, targets) -> L_org.
        images_BCHW: one image is enough; its size decides the shapes.
        config: the settings.
        generator: of the projections.
    """
    shapes = [shape for source in sources for shape in source.feature_shapes(images_BCHW)]
    own = target.feature_shapes(images_BCHW)
    matching = WeightedMatching(scheme, shapes, own, generator, config.beta)
    problem = BorrowingProblem(Student(target, [matching]), sources, task_loss)
    return L2TProblem(problem, matching, MetaNets(scheme, shapes))


def init(problem: L2TProblem) -> L2TState:
    """Return the state before the first step."""
    return L2TState(borrowing.init(problem.borrowing), adam_state(problem.meta_nets))


def step(
    problem: L2TProblem, config: L2TConfig, state: L2TState, images_BCHW: Tensor, targets: Tensor
) -> tuple[L2TState, dict[str, float]]:
    """Return the state after one step of algorithm 1, and its losses.

    Args:
        problem: what is learned.
        config: how.
        state: of `init` or of an earlier step; left as it was.
        images_BCHW: the batch.
        targets: what L_org takes.
    """
    given = problem.borrowing.given(images_BCHW)
    load_parameters(problem.meta_nets, state.meta)
    coefficients = problem.meta_nets(given.features)
    problem.matching.coefficients = [each.detach() for each in coefficients]
    problem.matching.wanted = problem.matching.projections.wanted(given.features)
    training, figures = borrowing.step(
        problem.borrowing, config.training, state.training, images_BCHW, targets, given
    )
    if not any(each.requires_grad for each in coefficients):
        return L2TState(training, state.meta), figures  # the scheme learns neither what nor where
    ahead = look_ahead(
        problem,
        config.training.sgd(state.training.step),
        config.matching_steps,
        training,
        images_BCHW,
        targets,
    )
    into_coefficients, merit = meta_gradient(
        config.meta_mode, ahead, coefficients, training.weights, training.momenta
    )
    problem.meta_nets.zero_grad(set_to_none=True)
    torch.autograd.backward(coefficients, into_coefficients)
    meta = adam_step(
        problem.meta_nets,
        state.meta,
        state.training.step,
        config.meta_learning_rate,
        config.meta_weight_decay,
    )
    return L2TState(training, meta), figures | {"merit": float(merit)}


def look_ahead(
    problem: L2TProblem,
    sgd: MomentumSgd,
    matching_steps: int,
    training: TrainingState,
    images_BCHW: Tensor,
    targets: Tensor,
) -> LookAhead:
    """Return the look-ahead of the batch that `matching.wanted` is set for; no running statistics move."""
    student = problem.borrowing.student

    def seen(weights: Named) -> Seen:
        buffers = {name: buffer.clone() for name, buffer in training.buffers.items()}
        own: tuple[Seen, None] = functional_call(student, weights | buffers, (images_BCHW, None))
        return own[0]

    def errors(weights: Named) -> list[Tensor]:
        below = {
            name.removeprefix(_PROJECTIONS): weight
            for name, weight in weights.items()
            if name.startswith(_PROJECTIONS)
        }
        features = seen(weights).features
        return functional_call(problem.matching.projections, below, (problem.matching.wanted, features))

    return LookAhead(
        errors,
        lambda weights: problem.borrowing.task_loss(seen(weights).answers, targets),
        sgd,
        matching_steps,
    )


_PROJECTIONS = "borrowers.0.projections."


def finish(problem: L2TProblem, state: L2TState) -> TappedNet:
    """Return the trained target, in evaluation mode; `problem.meta_nets` then holds the trained meta nets."""
    load_parameters(problem.meta_nets, state.meta)
    return borrowing.finish(problem.borrowing, state.training)


@torch.no_grad()
def pair_weights(problem: L2TProblem, state: L2TState, images_BCHW: Tensor) -> list[float]:
    """Return the mean of lambda over images, one number a pair: the lines of figure 3d."""
    load_parameters(problem.meta_nets, state.meta)
    given = problem.borrowing.given(images_BCHW)
    return [float(each.mean()) for each in problem.meta_nets.pair_weights(given.features)]
