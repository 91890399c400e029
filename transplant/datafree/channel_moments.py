"""Mean and covariance of feature channels over images and places, streamed in one pass.

Welford's recurrence in its batched form (Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm
for computing sample variances", 1979): two parts of n and m observations with means a and b merge as
mean = a + (b - a) m / (n + m), scatter = scatter_n + scatter_m + (b - a)(b - a)^T n m / (n + m). Nothing is
subtracted that was not centred first, so a large mean costs no digits; memory is C^2 numbers.

Shape suffixes: B images, C channels, H and W places of the seam, N observations.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


def _nothing(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


@dataclass
class ChannelMoments:
    """Running count, mean and scatter (sum of products of deviations) of all channels, in float64."""

    count: int = 0
    mean_C: Tensor = field(default_factory=lambda: _nothing(0))
    scatter_CC: Tensor = field(default_factory=lambda: _nothing(0, 0))

    def add(self, features_BCHW: Tensor) -> None:
        """Take in one batch; every place of every image is one observation of all channels."""
        values_CN = features_BCHW.to(torch.float64).transpose(0, 1).flatten(1)
        count = values_CN.shape[1]
        if count == 0:
            return
        mean_C = values_CN.mean(dim=1)
        centred_CN = values_CN - mean_C[:, None]
        scatter_CC = centred_CN @ centred_CN.T
        if self.count == 0:
            self.count, self.mean_C, self.scatter_CC = count, mean_C, scatter_CC
            return
        total = self.count + count
        apart_C = mean_C - self.mean_C
        between_CC = torch.outer(apart_C, apart_C) * (self.count * count / total)
        self.scatter_CC = self.scatter_CC + scatter_CC + between_CC
        self.mean_C = self.mean_C + apart_C * (count / total)
        self.count = total

    @property
    def covariance_CC(self) -> Tensor:
        """Return the population covariance, exactly symmetric."""
        return (self.scatter_CC + self.scatter_CC.T) / (2 * max(1, self.count))

    @property
    def variance_C(self) -> Tensor:
        """Return the population variance of every channel."""
        return self.scatter_CC.diagonal() / max(1, self.count)
