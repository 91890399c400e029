"""Adam with a cosine schedule as a pure function on named tensors (Kingma and Ba 2015).

`torch.optim` keeps its state inside an object; a learner's state must be a plain dictionary that is
saved between any two steps, so the update goes through torch's own functional form.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.optim.adam import adam


def adam_state(net: nn.Module) -> dict[str, Tensor]:
    """Return parameters and zero moments of `net` as named tensors."""
    state: dict[str, Tensor] = {}
    for name, parameter in net.named_parameters():
        state[f"parameter.{name}"] = parameter.detach().clone()
        state[f"mean.{name}"] = torch.zeros_like(parameter)
        state[f"square.{name}"] = torch.zeros_like(parameter)
    for name, buffer in net.named_buffers():
        state[f"buffer.{name}"] = buffer.detach().clone()
    return state


@torch.no_grad()
def load_parameters(net: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy parameters and buffers of a state into `net`."""
    for name, parameter in net.named_parameters():
        parameter.copy_(tensors[f"parameter.{name}"])
    for name, buffer in net.named_buffers():
        buffer.copy_(tensors[f"buffer.{name}"])


def adam_step(
    net: nn.Module, tensors: dict[str, Tensor], step: int, learning_rate: float, weight_decay: float = 0.0
) -> dict[str, Tensor]:
    """Apply one Adam update with the gradients that `net` holds; return the new tensors.

    Args:
        net: holds the parameters of `tensors` and fresh gradients; its parameters are left as they were.
        tensors: a state of `adam_state`.
        step: updates done before this one.
        learning_rate: of this step.
        weight_decay: added to the gradient, as in Adam (not decoupled, as in AdamW).
    """
    new = {name: tensor.clone() for name, tensor in tensors.items()}
    names = [name for name, parameter in net.named_parameters() if parameter.grad is not None]
    gradients = [parameter.grad for _, parameter in net.named_parameters() if parameter.grad is not None]
    with torch.no_grad():
        adam(
            [new[f"parameter.{name}"] for name in names],
            gradients,
            [new[f"mean.{name}"] for name in names],
            [new[f"square.{name}"] for name in names],
            [],
            [torch.tensor(float(step)) for _ in names],
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=learning_rate,
            weight_decay=weight_decay,
            eps=1e-8,
            maximize=False,
        )
    return new


def cosine(step: int, total: int, peak: float, warm_up: int = 20) -> float:
    """Return the learning rate of one step: a short linear warm-up, then half a cosine to zero."""
    warm = min(1.0, (step + 1) / max(1, min(warm_up, total // 4)))
    return peak * warm * 0.5 * (1 + math.cos(math.pi * step / max(1, total)))
