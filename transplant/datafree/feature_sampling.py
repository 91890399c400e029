"""Features drawn from a site's mean maps and principal directions: x without any image.

A latent map u = (sum_k z_k d_k + R^(1/2) e) / deviation, z and e standard normal, has the disclosed
correlations: d_k are the principal directions, and R is what they and the mean map leave of the channel
covariance, drawn anew at each place. Features come out of a ReLU, so x must be >= 0 with much of it at zero:
each element is a rectified normal, x = max(0, m + s u), with m and s such that x (after the ReLU) has the
disclosed mean and variance. With a = m / s, E[x] = s (a Phi(a) + phi(a)) and
E[x^2] = s^2 ((a^2 + 1) Phi(a) + a phi(a)), and E[x]^2 / E[x^2] rises with a: it is inverted by a table.
Plainly cutting a normal at zero would raise every mean and shrink every variance.

Of large maps a site tells factors in place of directions; sum_k z_k d_k is then A Z B^T, with B interpolated
from its grid to the places of the seam (`transplant.datafree.kronecker_factors`). The rest is the same.

Shape suffixes: N samples, C channels, H and W places of the seam, K directions, A places of the table.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from transplant.datafree.kronecker_factors import grid_of, on_places
from transplant.errors import DisclosureMissing, SeamMismatch
from transplant.nets.pixel_budget import images_at_once

if TYPE_CHECKING:
    from transplant.nets.disclosures import ClassStatistics, DisclosedStatistics, KroneckerFactors
    from transplant.types import Disclosure, Seam

_LEAST, _MOST, _PLACES = -3.0, 8.0, 4096
"""Range of a: an element that is on less than once in 700 samples is drawn as one that is on so often."""


@torch.no_grad()
def sample_features(
    statistics: DisclosedStatistics, seam: Seam, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw feature maps, every second one of the class that shows the category.

    Args:
        statistics: of level `pca`.
        seam: the shape that the maps must have.
        count: N.
        generator: of everything random.

    Returns:
        float32 (N, C, H, W) features and int64 (N,) classes, 0 and 1 in turn.

    Raises:
        DisclosureMissing: if the statistics are not of level `pca`.
        SeamMismatch: if they are of another seam.
    """
    classes_N = torch.arange(count) % 2
    features_NCHW = torch.empty(count, seam.channels, seam.height, seam.width)
    for label, one in enumerate(statistics.classes):
        law = _Law(one, statistics.level, seam)
        places_N = (classes_N == label).nonzero().flatten()
        for places in places_N.split(images_at_once(2 * seam.height, 256, 1 << 20)):
            features_NCHW[places] = law.draw(len(places), generator)
    return features_NCHW, classes_N


class _Law:
    """The rectified normal law of one class."""

    def __init__(self, one: ClassStatistics, level: Disclosure, seam: Seam) -> None:
        structure = _structure(one, level, seam)
        mean_map_CHW = structure.mean_map_CHW
        if tuple(mean_map_CHW.shape) != (seam.channels, seam.height, seam.width):
            raise SeamMismatch(f"the statistics are of x {tuple(mean_map_CHW.shape)}, the seam is {seam}")
        self._structure = structure
        self._residual_CC = _residual_root(one.covariance_CC, mean_map_CHW, structure.scatter_CC)
        left_C = self._residual_CC.square().sum(1)
        variance_CHW = structure.variance_CHW + left_C.view(-1, 1, 1)
        self._deviation_CHW = variance_CHW.sqrt().clamp(min=1e-12)
        self._level_CHW, self._gain_CHW = rectified_normal(mean_map_CHW, variance_CHW)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        latent = self._structure.draw(count, generator)
        noise = torch.randn(latent.shape, generator=generator).flatten(2)
        latent = latent + (self._residual_CC @ noise).view_as(latent)
        return (self._level_CHW + self._gain_CHW * (latent / self._deviation_CHW)).clamp(min=0)


class _Directions:
    """What varies together, told as principal directions: sum_k z_k d_k."""

    def __init__(self, mean_map_CHW: Tensor, directions_KCHW: Tensor) -> None:
        self.mean_map_CHW = mean_map_CHW
        self.variance_CHW = directions_KCHW.square().sum(0)
        told_CN = directions_KCHW.transpose(0, 1).flatten(1).to(torch.float64)
        self.scatter_CC = told_CN @ told_CN.T  # over places, of what is told
        self._directions_KD = directions_KCHW.flatten(1)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        z_NK = torch.randn((count, len(self._directions_KD)), generator=generator)
        return (z_NK @ self._directions_KD).view(count, *self.mean_map_CHW.shape)


class _Factors:
    """The same, told as two factors: A Z B^T."""

    def __init__(self, factors: KroneckerFactors, seam: Seam) -> None:
        self.mean_map_CHW = on_places(factors.mean_CGG, seam)
        self._channel_CK = factors.channel_CK
        spatial_LHW = on_places(factors.spatial_LGG, seam)
        self._spatial_LP = spatial_LHW.flatten(1)
        share_HW = spatial_LHW.square().sum(0)
        self.variance_CHW = factors.channel_CK.square().sum(1).view(-1, 1, 1) * share_HW
        wide_CK = factors.channel_CK.to(torch.float64)
        self.scatter_CC = wide_CK @ wide_CK.T * float(share_HW.sum(dtype=torch.float64))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        shape = (count, self._channel_CK.shape[1], len(self._spatial_LP))
        z_NKL = torch.randn(shape, generator=generator)
        latent_NCP = self._channel_CK @ z_NKL @ self._spatial_LP
        return latent_NCP.view(count, *self.mean_map_CHW.shape)


def _structure(one: ClassStatistics, level: Disclosure, seam: Seam) -> _Directions | _Factors:
    if one.kronecker is not None:
        grid = tuple(one.kronecker.mean_CGG.shape)
        if grid != (seam.channels, *grid_of(seam.height, seam.width)):
            raise SeamMismatch(f"the statistics are of x on a grid {grid}, the seam is {seam}")
        return _Factors(one.kronecker, seam)
    if one.mean_map_CHW is None or one.directions_KCHW is None or one.residual_C is None:
        raise DisclosureMissing(
            f"features can be drawn from level pca only, and the site disclosed {level}: ask the "
            "site for pca, or invert images to its moments"
        )
    return _Directions(one.mean_map_CHW, one.directions_KCHW)


def _residual_root(covariance_CC: Tensor, mean_map_CHW: Tensor, scatter_CC: Tensor) -> Tensor:
    """Return a root of R: the channel covariance without the mean map's and the structure's part of it."""
    centred_CN = (mean_map_CHW - mean_map_CHW.mean((1, 2), keepdim=True)).flatten(1).to(torch.float64)
    told_CC = (centred_CN @ centred_CN.T + scatter_CC) / centred_CN.shape[1]
    values_C, vectors_CC = torch.linalg.eigh(covariance_CC.to(torch.float64) - told_CC)
    return (vectors_CC * values_C.clamp(min=0).sqrt()).to(torch.float32)


def rectified_normal(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Return m and s with which max(0, m + s u), u standard normal, has this mean and variance.

    Elements without a positive mean get m = s = 0. Where the mean is so far from zero that nothing is cut
    m and s are mean and deviation; where an element is nearly always zero the mean is kept and the variance
    is smaller than asked for.
    """
    a_A = torch.linspace(_LEAST, _MOST, _PLACES, dtype=torch.float64)
    first_A, second_A = _rectified_moments(a_A)
    ratio_A = first_A.square() / second_A
    wanted = mean.to(torch.float64).clamp(min=0)
    ratio = wanted.square() / (wanted.square() + variance.to(torch.float64)).clamp(min=1e-30)
    upper = torch.searchsorted(ratio_A, ratio.contiguous()).clamp(1, _PLACES - 1)
    low, high = ratio_A[upper - 1], ratio_A[upper]
    share = ((ratio - low) / (high - low)).clamp(0, 1)
    a = torch.lerp(a_A[upper - 1], a_A[upper], share)
    s = wanted / _rectified_moments(a)[0]
    uncut = ratio > ratio_A[-1]
    m = torch.where(uncut, wanted, a * s)
    s = torch.where(uncut, variance.to(torch.float64).sqrt(), s)
    return m.to(torch.float32), s.to(torch.float32)


def _rectified_moments(a: Tensor) -> tuple[Tensor, Tensor]:
    """Return E[max(0, a + u)] and E[max(0, a + u)^2] for a standard normal u."""
    density = torch.exp(-a.square() / 2) / math.sqrt(2 * math.pi)
    below = torch.special.ndtr(a)
    return a * below + density, (a.square() + 1) * below + a * density
