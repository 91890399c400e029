"""Learning without forgetting, LwF (Li and Hoiem 2016), between nets of different architectures.

The target gets a second head for each source's classes and answers there as the source does: cross-entropy
between answers softened with temperature 2. As the target has no layer of the source's, the head is a linear
layer on its highest feature map, pooled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from transplant.errors import TransferNotPossible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transplant.transfer.borrowing import Given
    from transplant.transfer.tapped_net import Seen


class LearningWithoutForgetting(nn.Module):
    """weight * T^2 * cross-entropy of the softened answers, summed over sources.

    Args:
        classes: how many answers each source gives; 1 is a logistic unit.
        channels: of the target's highest feature map.
        generator: of the heads.
        temperature: T.
        weight: of the penalty.

    Raises:
        TransferNotPossible: if a source gives no answers.
    """

    def __init__(
        self,
        classes: Sequence[int],
        channels: int,
        generator: torch.Generator,
        temperature: float = 2.0,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not classes or min(classes) < 1:
            raise TransferNotPossible("learning without forgetting needs a source that answers, not features")
        self.heads = nn.ModuleList(nn.Linear(channels, count) for count in classes)
        for head in self.heads:
            nn.init.normal_(head.weight, 0, 0.01, generator=generator)  # pyright: ignore[reportArgumentType]
            nn.init.zeros_(head.bias)  # pyright: ignore[reportArgumentType]
        self.temperature = temperature
        self.weight = weight

    def forward(self, given: Given, seen: Seen) -> Tensor:
        """Return the penalty of a batch."""
        pooled = seen.features[-1].mean(dim=(2, 3))
        penalties = [
            self._distance(head(pooled), answers)
            for head, answers in zip(self.heads, given.answers, strict=True)
        ]
        return self.weight * self.temperature**2 * torch.stack(penalties).sum()

    def _distance(self, own: Tensor, theirs: Tensor) -> Tensor:
        own, theirs = own / self.temperature, theirs.flatten(1) / self.temperature
        if own.shape[1] == 1:
            return functional.binary_cross_entropy_with_logits(own, theirs.sigmoid())
        return functional.cross_entropy(own, theirs.softmax(1))
