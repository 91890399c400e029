"""A student net that learns from an ensemble's logits (Hinton, Vinyals, Dean 2015).

Shape suffixes: B pictures, K categories.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.sites.peers.multi_category_net import answer

if TYPE_CHECKING:
    from collections.abc import Generator

    from transplant.types import Precision


def divergence(target_BK: Tensor, student_BK: Tensor, temperature: float = 1.0) -> Tensor:
    """Return T^2 KL(softmax(target / T) || softmax(student / T)) of each picture, (B,).

    T^2 keeps gradients of one size whatever the temperature T (Hinton et al. 2015, section 2).
    """
    target = functional.log_softmax(target_BK / temperature, dim=1)
    student = functional.log_softmax(student_BK / temperature, dim=1)
    return temperature**2 * functional.kl_div(student, target, reduction="none", log_target=True).sum(dim=1)


@dataclass
class Student:
    """A net in distillation, its optimiser, and a cosine from the optimiser's learning rate to zero.

    Args:
        net: learns; in training mode while it does.
        optimizer: of its weights.
        steps: of the whole schedule.
        temperature: T of the divergence.
        precision: of forward passes.
        gradient_norm: longer gradients are cut to this length.
    """

    net: nn.Module
    optimizer: torch.optim.Optimizer
    steps: int
    temperature: float
    precision: Precision
    gradient_norm: float
    _schedule: torch.optim.lr_scheduler.LRScheduler = field(init=False)

    def __post_init__(self) -> None:
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, max(1, self.steps))

    @contextmanager
    def at_rest(self) -> Generator[None]:
        """Answer in evaluation mode and without gradients of the weights, within the block."""
        self.net.eval().requires_grad_(False)
        try:
            yield
        finally:
            self.net.requires_grad_(True)

    def learn(self, images_B3HW: Tensor, target_BK: Tensor) -> float:
        """Take one step towards the ensemble's logits for these images; return the loss before it."""
        self.net.train()
        student = answer(self.net, images_B3HW, self.precision)
        loss = divergence(target_BK, student, self.temperature).mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.gradient_norm)
        self.optimizer.step()
        self._schedule.step()
        return loss.item()
