"""Feature matching as a penalty that no meta net steers: the FM of Jang et al. 2019 (after FitNets, 2015).

Every channel of every pair weighs the same: L_wfm with w = 1/C and lambda = 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from transplant.transfer.weighted_matching import MatchingScheme, MetaNets, Projections, matching_loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from transplant.transfer.borrowing import Given
    from transplant.transfer.tapped_net import Seen
    from transplant.transfer.weighted_matching import Pair, Shape


class FeatureMatching(nn.Module):
    """beta times the mean squared distance of the pairs' maps.

    Args:
        pairs: which.
        source: shapes of the sources' maps, in one row.
        target: shapes of the target's maps.
        generator: of the projections.
        beta: weight of the penalty (0.5 in the paper).
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        source: Sequence[Shape],
        target: Sequence[Shape],
        generator: torch.Generator,
        beta: float = 0.5,
    ) -> None:
        super().__init__()
        self.projections = Projections(pairs, source, target, generator)
        self.uniform = MetaNets(MatchingScheme(tuple(pairs)), source)
        self.beta = beta

    def forward(self, given: Given, seen: Seen) -> Tensor:
        """Return the penalty of a batch."""
        errors = self.projections(self.projections.wanted(given.features), seen.features)
        return self.beta * matching_loss(self.uniform(given.features), errors)
