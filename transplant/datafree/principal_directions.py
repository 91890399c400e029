"""Mean map, principal directions and what they leave, from one pass over feature maps with flat memory.

The stream is cut into blocks of `rank` maps. The sketch holds the `rank` leading right singular vectors of
everything seen, each times its singular value; a block is merged by an SVD of [sketch; centred block; the
move of the mean] (Ross, Lim, Lin, Yang, "Incremental learning for robust visual tracking", 2008, section
2.1), cut back to `rank` rows. The SVD goes through the small Gram matrix of the rows, in float64. How the
caller cuts the stream into batches changes nothing.

The total variance is counted exactly beside the sketch, so whatever truncation loses ends up in the
residual: directions and residual together always hold the true variance of every channel.

Shape suffixes: B images, C channels, H and W places of the seam, D = C H W, R rows of a sketch, K directions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

_GRAM_COLUMNS = 1 << 16


class PrincipalParts(NamedTuple):
    """What a sketch amounts to, float32."""

    mean_map_CHW: Tensor
    directions_KCHW: Tensor  # each times the deviation along it
    residual_C: Tensor  # variance per channel that the directions leave


class DirectionSketch:
    """A running low-rank factor of the covariance of feature maps.

    Args:
        rank: rows that are kept; twice the directions that are wanted is plenty.
    """

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._count = 0
        self._shape: Sequence[int] = ()
        self._mean_D = torch.zeros(0, dtype=torch.float64)
        self._squares_C = torch.zeros(0, dtype=torch.float64)
        self._rows_RD = torch.zeros(0, 0)
        self._block_BD = torch.zeros(0, 0)
        self._pending = 0

    def add(self, features_BCHW: Tensor) -> None:
        """Take in one batch of maps, all of one shape."""
        if self._count == 0 and self._pending == 0:
            self._shape = features_BCHW.shape[1:]
            places = math.prod(self._shape)
            self._mean_D = torch.zeros(places, dtype=torch.float64)
            self._squares_C = torch.zeros(self._shape[0], dtype=torch.float64)
            self._rows_RD = torch.zeros(0, places)
            self._block_BD = torch.zeros(self._rank, places)
        rows_BD = features_BCHW.flatten(1)
        while len(rows_BD):
            taken = min(len(rows_BD), self._rank - self._pending)
            self._block_BD[self._pending : self._pending + taken] = rows_BD[:taken]
            rows_BD = rows_BD[taken:]
            self._pending += taken
            if self._pending == self._rank:
                self._merge()

    def finish(self, directions: int) -> PrincipalParts:
        """Return the mean map, the `directions` leading directions and the residual of all maps so far."""
        if self._pending:
            self._merge()
        rows_KD = self._rows_RD[:directions] / math.sqrt(max(1, self._count))
        missing = directions - len(rows_KD)
        if missing > 0:  # fewer maps than directions: nothing varies along the others
            rows_KD = torch.cat([rows_KD, rows_KD.new_zeros(missing, rows_KD.shape[1])])
        directions_KCHW = rows_KD.unflatten(1, self._shape)
        places = math.prod(self._shape[1:])
        total_C = self._squares_C / (max(1, self._count) * places)
        told_C = directions_KCHW.to(torch.float64).square().sum(0).mean((1, 2))
        return PrincipalParts(
            self._mean_D.to(torch.float32).view(*self._shape),
            directions_KCHW,
            (total_C - told_C).clamp(min=0).to(torch.float32),
        )

    def _merge(self) -> None:
        block_BD = self._block_BD[: self._pending]
        added = self._pending
        total = self._count + added
        mean_D = block_BD.mean(0, dtype=torch.float64)
        centred_BD = block_BD - mean_D.to(torch.float32)
        apart_D = (mean_D - self._mean_D) * math.sqrt(self._count * added / total)
        self._squares_C += _per_channel(centred_BD, self._shape) + _per_channel(apart_D[None], self._shape)
        stacked = torch.cat([self._rows_RD, centred_BD, apart_D.to(torch.float32)[None]])
        self._rows_RD = _leading_rows(stacked, self._rank)
        self._mean_D = self._mean_D + (mean_D - self._mean_D) * (added / total)
        self._count, self._pending = total, 0


def _per_channel(rows_BD: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the sum of squares of every channel."""
    return rows_BD.unflatten(1, shape).square().sum((0, 2, 3), dtype=torch.float64)


def _leading_rows(rows_RD: Tensor, rank: int) -> Tensor:
    """Return the leading right singular vectors of `rows`, each times its singular value."""
    gram_RR = torch.zeros(len(rows_RD), len(rows_RD), dtype=torch.float64)
    for part in rows_RD.split(_GRAM_COLUMNS, dim=1):
        wide = part.to(torch.float64)
        gram_RR += wide @ wide.T
    vectors_RR = torch.linalg.eigh(gram_RR).eigenvectors  # rising eigenvalues
    leading = vectors_RR.flip(1)[:, :rank].to(torch.float32)
    return leading.T @ rows_RD
