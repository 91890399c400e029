"""The gradient of what a look-ahead leads to, into what steers it (Jang et al. 2019, algorithm 1).

From theta the look-ahead takes T steps on the matching loss <c, e(theta)> alone and one on the task loss; the
figure of merit is the task loss after that. Momentum and weight decay are part of every step, and of the
gradient. The look-ahead's weights live here only: nothing is to be rolled back.

Two ways to the same gradient:

* `exact`: the steps are unrolled with their graph, and reverse mode runs through all of it. Counted in plain
  steps (one forward and one backward pass, 3 units): T + 1 steps, the last loss and its gradient, then about
  two more for each step, less for the first, of which only c's part is asked: 9 to 11 with T = 2. What is
  differentiated twice is `second_derivatives`' way.
* `hessian_vector`: no graph outlives its step. The same recursion goes backwards through the steps with
  Hessian-vector products as differences of gradients, (grad(theta + h v) - grad(theta)) / h, one plain step
  each, with every ReLU and max-pool held as it was at theta; of the first step only the change of e is
  needed, one forward pass: 6.3 plain steps with T = 2, and the memory of one.

The recursion, with theta' = theta - rate m' and m' = mu m + g + decay theta: let v_theta, v_m be the
gradients of the merit into theta' and m'. Then u = v_m - rate v_theta is its gradient into g; the
coefficients get <u, de/dtheta>; and before the step v_theta <- v_theta + decay u + H u, v_m <- mu u.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import torch

from transplant.transfer.frozen_kinks import HeldKinks, RecordedKinks
from transplant.transfer.second_derivatives import LeanSecondDerivatives
from transplant.transfer.weighted_matching import matching_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from transplant.transfer.momentum_sgd import MomentumSgd, Named

MetaMode = Literal["exact", "hessian-vector"]
_RELATIVE_SHIFT = 1e-4


@dataclass(frozen=True, eq=False)
class LookAhead:
    """What a look-ahead is made of; both functions must be deterministic for one look-ahead (dropout!).

    Args:
        errors: theta -> e, the matching errors of the batch, a (B, C) tensor a pair.
        task_loss: theta -> the task loss of the batch.
        sgd: the settings of every step.
        matching_steps: T.
    """

    errors: Callable[[Named], Sequence[Tensor]]
    task_loss: Callable[[Named], Tensor]
    sgd: MomentumSgd
    matching_steps: int = 2


def meta_gradient(
    mode: MetaMode, ahead: LookAhead, coefficients: Sequence[Tensor], weights: Named, momenta: Named
) -> tuple[list[Tensor], Tensor]:
    """Return the gradient of the merit into each of the coefficients, and the merit.

    Args:
        mode: exact, or by differences of gradients.
        ahead: the look-ahead.
        coefficients: c; only their values count.
        weights: theta, where the look-ahead starts.
        momenta: of the optimiser there.
    """
    values = [each.detach() for each in coefficients]
    start = {name: weight.detach() for name, weight in weights.items()}
    moving = {name: moment.detach() for name, moment in momenta.items()}
    return (_exact if mode == "exact" else _hessian_vector)(ahead, values, start, moving)


def _exact(
    ahead: LookAhead, values: list[Tensor], theta: Named, momenta: Named
) -> tuple[list[Tensor], Tensor]:
    coefficients = [value.requires_grad_(True) for value in (each.clone() for each in values)]
    theta = {name: weight.requires_grad_(True) for name, weight in theta.items()}
    for step in range(ahead.matching_steps + 1):
        last = step == ahead.matching_steps
        with LeanSecondDerivatives(fixed_point=step == 0):
            loss = ahead.task_loss(theta) if last else matching_loss(coefficients, ahead.errors(theta))
        theta, momenta = ahead.sgd.updated(theta, momenta, _gradients(loss, theta, create_graph=True))
    merit = ahead.task_loss(theta)
    told = torch.autograd.grad(merit, coefficients, materialize_grads=True)
    return list(told), merit.detach()


def _hessian_vector(
    ahead: LookAhead, values: list[Tensor], theta: Named, momenta: Named
) -> tuple[list[Tensor], Tensor]:
    passes: list[_Pass] = []
    for number in range(ahead.matching_steps + 1):
        with RecordedKinks() as kinks:
            here = _passed(ahead, values, theta, on_task=number == ahead.matching_steps)
        passes.append(replace(here, kinks=kinks.decisions))
        with torch.no_grad():
            theta, momenta = ahead.sgd.updated(theta, momenta, here.gradients)
    end = _passed(ahead, values, theta, on_task=True)
    told = [torch.zeros_like(value) for value in values]
    of_theta = end.gradients
    of_moment = {name: torch.zeros_like(weight) for name, weight in of_theta.items()}
    rate, decay, mu = ahead.sgd.learning_rate, ahead.sgd.weight_decay, ahead.sgd.momentum
    for number, here in reversed(list(enumerate(passes))):
        u = {name: torch.add(of_moment[name], of_theta[name], alpha=-rate) for name in of_theta}
        h = _shift(here.theta, u)
        moved = {name: torch.add(weight, u[name], alpha=h) for name, weight in here.theta.items()}
        on_task = number == ahead.matching_steps
        if number == 0 and not on_task:  # nothing comes before it: only the coefficients' part is left
            with torch.no_grad(), HeldKinks(here.kinks):
                _add_difference(told, ahead.errors(moved), here.errors, h)
            break
        with HeldKinks(here.kinks):
            there = _passed(ahead, values, moved, on_task=on_task)
        _add_difference(told, there.errors, here.errors, h)
        for name, direction in u.items():
            curved = there.gradients[name].sub_(here.gradients[name])
            of_theta[name].add_(direction, alpha=decay).add_(curved, alpha=1 / h)
            of_moment[name] = direction.mul_(mu)
    return told, end.loss


@dataclass(frozen=True, eq=False)
class _Pass:
    """One forward and backward pass; a pass on the task loss has no errors."""

    theta: Named
    gradients: Named
    loss: Tensor
    errors: list[Tensor]
    kinks: list[Tensor] = field(default_factory=list["Tensor"])


def _passed(ahead: LookAhead, values: list[Tensor], theta: Named, *, on_task: bool) -> _Pass:
    leaves = {name: weight.detach().requires_grad_(True) for name, weight in theta.items()}
    errors = [] if on_task else list(ahead.errors(leaves))
    loss = ahead.task_loss(leaves) if on_task else matching_loss(values, errors)
    gradients = _gradients(loss, leaves, create_graph=False)
    plain = {name: weight.detach() for name, weight in leaves.items()}
    return _Pass(plain, gradients, loss.detach(), [error.detach() for error in errors])


def _gradients(loss: Tensor, theta: Named, *, create_graph: bool) -> Named:
    """Return the gradient into every weight, zero into one that the loss does not see."""
    found = torch.autograd.grad(loss, list(theta.values()), create_graph=create_graph, materialize_grads=True)
    return dict(zip(theta, found, strict=True))


def _shift(theta: Named, direction: Named) -> float:
    """Return h with |h v| = |theta| / 10,000: above rounding, and where the loss is as good as quadratic."""
    size = sum(float(weight.square().sum()) for weight in theta.values()) ** 0.5
    length = sum(float(each.square().sum()) for each in direction.values()) ** 0.5
    return _RELATIVE_SHIFT * size / max(length, 1e-30)


def _add_difference(told: list[Tensor], there: Sequence[Tensor], here: Sequence[Tensor], h: float) -> None:
    for total, after, before in zip(told, there, here, strict=False):  # a task step has no errors
        total.add_((after - before) / h)
