"""Principal structure of large feature maps: a channel factor times a spatial factor, on a coarse grid.

K directions of a class are K C H W numbers: 100 MB for VGG-16 at 224 px and K = 32. Above `FULL_FORM_NUMBERS`
numbers a map, level `pca` therefore tells a matrix normal law of the maps averaged over the cells of a grid,

    y = m + A Z B^T,   Cov(vec y) = (A A^T) (x) (B B^T),   Z of independent standard normal numbers,

with the mean m of each cell, a channel factor A and a spatial factor B: C G + C K + G K numbers for a grid of
G cells, some 300 KB. What the grid and the factors do not tell (texture inside the cells, the directions that
were cut off) is in the channel covariance, and is drawn anew at each place as in the full form.

The factors are the moment estimator of the matrix normal law: of the scatter of all y about their mean,
summed over cells (C x C) and over channels (G x G), the leading eigenvectors times their deviations. Both
scatters are exact and streamed (Chan, Golub, LeVeque 1979, as in `transplant.datafree.channel_moments`).

Shape suffixes: B images, C channels, G cells of the grid, K rank of the channel factor, L rank of the spatial
factor, H and W places of the seam.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from transplant.nets.disclosures import KroneckerFactors

if TYPE_CHECKING:
    from transplant.types import Seam

FULL_FORM_NUMBERS = 1 << 17
"""Most numbers C H W of a feature map whose principal directions are told in full."""

MAXIMUM_SIDE = 32
"""Most cells along a side of the grid."""


def grid_of(height: int, width: int) -> tuple[int, int]:
    """Return the finest grid of at most `MAXIMUM_SIDE` cells a side that cuts the map into equal cells."""
    first, second = (
        max(cells for cells in range(1, MAXIMUM_SIDE + 1) if side % cells == 0) for side in (height, width)
    )
    return first, second


class KroneckerSketch:
    """Running mean and scatters of the cells, in float64: G^2 numbers, whatever the number of images."""

    def __init__(self) -> None:
        self._count = 0
        self._grid = (0, 0)
        self._mean_CG = torch.zeros(0, 0, dtype=torch.float64)
        self._channels_CC = torch.zeros(0, 0, dtype=torch.float64)
        self._cells_GG = torch.zeros(0, 0, dtype=torch.float64)

    def add(self, features_BCHW: Tensor) -> None:
        """Take in one batch of maps, all of one shape."""
        count = len(features_BCHW)
        if not count:
            return
        cells_BCG = self._cells(features_BCHW)
        mean_CG = cells_BCG.mean(0)
        if not self._count:
            self._mean_CG = torch.zeros_like(mean_CG)
            self._channels_CC = mean_CG.new_zeros(len(mean_CG), len(mean_CG))
            self._cells_GG = mean_CG.new_zeros(mean_CG.shape[1], mean_CG.shape[1])
        total = self._count + count
        centred_BCG = cells_BCG - mean_CG
        apart_CG = mean_CG - self._mean_CG
        between = self._count * count / total
        by_channel_CN = centred_BCG.transpose(0, 1).flatten(1)
        by_cell_NG = centred_BCG.flatten(0, 1)
        self._channels_CC = self._channels_CC + by_channel_CN @ by_channel_CN.T
        self._channels_CC += between * (apart_CG @ apart_CG.T)
        self._cells_GG = self._cells_GG + by_cell_NG.T @ by_cell_NG + between * (apart_CG.T @ apart_CG)
        self._mean_CG = self._mean_CG + apart_CG * (count / total)
        self._count = total

    def finish(self, directions: int) -> KroneckerFactors:
        """Return the mean of each cell and factors of rank `directions`, or of full rank if that is less."""
        channels, cells = self._mean_CG.shape
        variance = float(self._channels_CC.trace()) / max(1, self._count * channels * cells)
        covariance_CC = self._channels_CC / max(1, self._count * cells)
        # Only the channel factor has the unit of x; the spatial one has a mean square of 1 before it is cut.
        correlation_GG = self._cells_GG / max(1e-30, self._count * channels * variance)
        return KroneckerFactors(
            self._mean_CG.to(torch.float32).unflatten(1, self._grid),
            _leading_root(covariance_CC, directions),
            _leading_root(correlation_GG, directions).T.contiguous().unflatten(1, self._grid),
        )

    def _cells(self, features_BCHW: Tensor) -> Tensor:
        height, width = features_BCHW.shape[2:]
        rows, columns = self._grid = grid_of(height, width)
        parted = features_BCHW.unflatten(2, (rows, -1)).unflatten(4, (columns, -1))
        return parted.mean((3, 5), dtype=torch.float64).flatten(2)


def on_places(cells_NGG: Tensor, seam: Seam) -> Tensor:
    """Interpolate maps on the grid to the places of the seam; their means over the grid stay as they are.

    (A cell's weights add up to its number of places, because every cell has as many.)
    """
    return functional.interpolate(
        cells_NGG.unsqueeze(0), size=(seam.height, seam.width), mode="bilinear", align_corners=False
    ).squeeze(0)


def _leading_root(matrix_NN: Tensor, rank: int) -> Tensor:
    """Return the leading eigenvectors of a covariance as columns, each times its deviation, float32."""
    values_N, vectors_NN = torch.linalg.eigh((matrix_NN + matrix_NN.T) / 2)  # rising
    root_NN = vectors_NN * values_N.clamp(min=0).sqrt()
    return root_NN.flip(1)[:, :rank].to(torch.float32).contiguous()
