"""What every way of borrowing from source nets shares: the target with its extra layers, and one plain step.

A borrower is a penalty on what the target makes of a batch, given what the sources make of it; it may have
weights of its own (projections, a head) that are trained with the target and thrown away afterwards. Scratch
is no borrower, fine-tuning is no borrower and another start; the others are files of their own.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from transplant.errors import TransferNotPossible
from transplant.transfer.momentum_sgd import MomentumSgd, Named, resting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transplant.transfer.tapped_net import Seen, TappedNet


@dataclass(frozen=True, eq=False)
class Given:
    """What the sources made of a batch: all feature maps in one row, and the answers of each."""

    features: tuple[Tensor, ...]
    answers: tuple[Any, ...]


class Borrower(Protocol):
    """A penalty; also an `nn.Module`, whose parameters are trained with the target's."""

    def __call__(self, given: Given, seen: Seen) -> Tensor:
        """Return the penalty of a batch, its weight included."""
        ...


class Student(nn.Module):
    """The target net and the borrowers that it has while it is trained.

    Args:
        target: the net to be trained.
        borrowers: modules that implement `Borrower`.
    """

    def __init__(self, target: TappedNet, borrowers: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self.target = target
        self.borrowers = nn.ModuleList(borrowers)

    def forward(self, images_BCHW: Tensor, given: Given | None) -> tuple[Seen, Tensor | None]:
        """Return what the target made of a batch, and the sum of the penalties; None where nobody borrows."""
        seen: Seen = self.target(images_BCHW)
        if given is None or not len(self.borrowers):
            return seen, None
        penalties = [cast("Borrower", borrower)(given, seen) for borrower in self.borrowers]
        return seen, torch.stack(penalties).sum()


@dataclass(frozen=True)
class TrainingConfig:
    """How a target is trained (Jang et al. 2019, section 4): SGD with a cosine.

    Args:
        steps: updates.
        learning_rate: at the start of the cosine.
        momentum: of SGD.
        weight_decay: of every weight.
    """

    steps: int
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4

    def sgd(self, step: int) -> MomentumSgd:
        """Return the settings of one update."""
        rate = self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / max(1, self.steps)))
        return MomentumSgd(rate, self.momentum, self.weight_decay)


@dataclass(frozen=True, eq=False)
class BorrowingProblem:
    """What is to be learned; the nets keep their weights, all state is explicit.

    Args:
        student: its weights are where training starts.
        sources: the nets to learn from, in evaluation mode.
        task_loss: (answers, targets) -> L_org, a batch mean.
    """

    student: Student
    sources: tuple[TappedNet, ...]
    task_loss: Callable[[Any, Tensor], Tensor]

    def given(self, images_BCHW: Tensor) -> Given:
        """Run the sources once; whatever a step does to the target, this holds for its batch."""
        with torch.no_grad():
            all_seen: list[Seen] = [source(images_BCHW) for source in self.sources]
        return Given(
            tuple(features for seen in all_seen for features in seen.features),
            tuple(seen.answers for seen in all_seen),
        )


@dataclass(frozen=True)
class TrainingState:
    """Everything that the next step depends on."""

    step: int
    weights: Named
    momenta: Named
    buffers: Named


def init(problem: BorrowingProblem) -> TrainingState:
    """Return the state before the first step."""
    weights = {name: weight.detach().clone() for name, weight in problem.student.named_parameters()}
    buffers = {name: buffer.detach().clone() for name, buffer in problem.student.named_buffers()}
    return TrainingState(0, weights, resting(weights), buffers)


def step(
    problem: BorrowingProblem,
    config: TrainingConfig,
    state: TrainingState,
    images_BCHW: Tensor,
    targets: Tensor,
    given: Given | None = None,
) -> tuple[TrainingState, dict[str, float]]:
    """Return the state after one step on L_org and the penalties, and the losses.

    Args:
        problem: what is learned.
        config: how.
        state: of `init` or of an earlier step; left as it was.
        images_BCHW: the batch.
        targets: what `task_loss` takes.
        given: what the sources made of the batch, where that is known; else they are run.
    """
    if given is None and len(problem.student.borrowers):
        given = problem.given(images_BCHW)
    weights = {name: weight.detach().requires_grad_(True) for name, weight in state.weights.items()}
    buffers = {name: buffer.clone() for name, buffer in state.buffers.items()}
    problem.student.train()
    seen, penalty = functional_call(problem.student, weights | buffers, (images_BCHW, given))
    loss = own = problem.task_loss(seen.answers, targets)
    if penalty is not None:
        loss = own + penalty
    found = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
    gradients = dict(zip(weights, found, strict=True))
    with torch.no_grad():
        new, momenta = config.sgd(state.step).updated(state.weights, state.momenta, gradients)
    figures = {"loss": float(own.detach())}
    if penalty is not None:
        figures["penalty"] = float(penalty.detach())
    return TrainingState(state.step + 1, new, momenta, buffers), figures


def finish(problem: BorrowingProblem, state: TrainingState) -> TappedNet:
    """Return the target with its trained weights, without the borrowers, in evaluation mode."""
    student = copy.deepcopy(problem.student)
    student.load_state_dict(state.weights | state.buffers)
    return student.target.eval()


@torch.no_grad()
def start_from(source: nn.Module, target: nn.Module) -> None:
    """Start fine-tuning: copy every weight of the source but its last layer's, which answers other questions.

    Raises:
        TransferNotPossible: if the nets differ in anything but the last layer.
    """
    theirs, own = source.state_dict(), target.state_dict()
    last = list(own)[-1].rpartition(".")[0]
    body = {name: tensor for name, tensor in theirs.items() if not name.startswith(f"{last}.")}
    wanted = {name: tuple(tensor.shape) for name, tensor in own.items() if not name.startswith(f"{last}.")}
    if {name: tuple(tensor.shape) for name, tensor in body.items()} != wanted:
        raise TransferNotPossible(
            "fine-tuning starts from a source of the target's own architecture; this one's weights differ: "
            "match features instead"
        )
    target.load_state_dict(body, strict=False)
