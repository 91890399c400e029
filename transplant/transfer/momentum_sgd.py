"""SGD with momentum and weight decay as a differentiable function on named tensors.

The update of `torch.optim.SGD` (no dampening, no Nesterov), written so that a gradient can flow through it:
    m' = mu m + (g + decay theta),    theta' = theta - rate m'.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Named = dict[str, Tensor]
"""Tensors by the name that they have in their net."""


@dataclass(frozen=True)
class MomentumSgd:
    """One update's settings."""

    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 1e-4

    def updated(self, weights: Named, momenta: Named, gradients: Named) -> tuple[Named, Named]:
        """Return weights and momenta after one update; the old ones are left as they were.

        A weight whose gradient is missing has a gradient of zero: momentum and decay move it all the same.
        """
        new_momenta: Named = {}
        new_weights: Named = {}
        for name, weight in weights.items():
            moment = torch.add(self.momentum * momenta[name], weight, alpha=self.weight_decay)
            gradient = gradients.get(name)
            new_momenta[name] = moment if gradient is None else moment + gradient
            new_weights[name] = torch.add(weight, new_momenta[name], alpha=-self.learning_rate)
        return new_weights, new_momenta


def resting(weights: Named) -> Named:
    """Return momenta of zero."""
    return {name: torch.zeros_like(weight) for name, weight in weights.items()}
