"""Attention transfer, AT (Zagoruyko, Komodakis 2017, equation 2): the target looks where the sources do.

The attention map of features is the sum over channels of their squares, flattened and L2-normalised; the
penalty is the mean squared difference of the maps of each pair, times beta (1,000 in that paper's own runs).
Channels do not meet, so no projection is needed; maps of other sizes are resized bilinearly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transplant.transfer.borrowing import Given
    from transplant.transfer.tapped_net import Seen
    from transplant.transfer.weighted_matching import Pair


class AttentionTransfer(nn.Module):
    """beta / 2 times the mean squared difference of normalised attention maps, summed over pairs."""

    def __init__(self, pairs: Sequence[Pair], beta: float = 1000.0) -> None:
        super().__init__()
        self.pairs = tuple(pairs)
        self.beta = beta

    def forward(self, given: Given, seen: Seen) -> Tensor:
        """Return the penalty of a batch."""
        penalties: list[Tensor] = []
        for m, n in self.pairs:
            own = seen.features[n]
            theirs = given.features[m]
            if theirs.shape[2:] != own.shape[2:]:
                theirs = functional.interpolate(
                    theirs, size=own.shape[2:], mode="bilinear", align_corners=False
                )
            penalties.append((attention(own) - attention(theirs)).square().mean())
        return 0.5 * self.beta * torch.stack(penalties).sum()


def attention(features_BCHW: Tensor) -> Tensor:
    """Return the normalised attention map, (B, H * W)."""
    return functional.normalize(features_BCHW.square().sum(1).flatten(1), dim=1)
