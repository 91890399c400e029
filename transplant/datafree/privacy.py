"""The Gaussian mechanism on channel moments: (epsilon, delta)-differential privacy of one image.

Analytic calibration: Balle and Wang, "Improving the Gaussian Mechanism for Differential Privacy", ICML 2018,
theorem 8. With L2 sensitivity D, noise of deviation s gives exactly
delta = Phi(D / 2s - epsilon s / D) - e^epsilon Phi(-D / 2s - epsilon s / D), for every epsilon > 0.

Neighbours are two data sets that differ in one image, replaced by any other of the same class; how many
images a class has is taken as public. So one of the two classes changes and each is released with the whole
budget. Sensitivity of a class of n images: with R the clip norm, image i has x >= 0 and a mean over places of
||x_p||^2 <= R^2. Its mean m_i = E_p[x_p] and second moment S_i = E_p[x_p x_p^T] therefore have ||m_i|| <= R
and ||S_i||_F <= R^2 (Jensen), and as x >= 0, <m_i, m_j> >= 0 and <S_i, S_j> = E_p E_q <x_p, x_q>^2 >= 0. So
||m_i - m_j||^2 <= 2 R^2 and ||S_i - S_j||_F^2 <= 2 R^4: the vector (m / R, S / R^2), averaged over n images,
moves by at most sqrt(2 + 2) / n = 2 / n. It is released as one query; S, being symmetric, with noise
(G + G^T) / 2, which is white in the metric of the Frobenius norm. The covariance S - m m^T, cut to be
positive semidefinite, is post-processing and costs nothing.

Principal directions and factors are not covered: the sensitivity of what they are computed from grows with
C H W, or with the cells of a grid, and noise drowns them. Level `pca` is refused, in either form.

The guarantee holds for real numbers; samples are float64. It also needs noise that nobody can draw again:
torch's generator on the CPU takes no more than 32 bits of its seed, few enough to try them all, so the noise
comes from the operating system's entropy. A generator is for tests only.
"""

from __future__ import annotations

import math
from dataclasses import replace
from random import SystemRandom
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from transplant.errors import InvalidSettings
from transplant.types import Disclosure

if TYPE_CHECKING:
    from transplant.nets.disclosures import ClassStatistics, DisclosedStatistics

_ROUNDING = 1e-4
_DEVIATIONS = 6.0


def gaussian_mechanism(
    statistics: DisclosedStatistics,
    epsilon: float,
    delta: float,
    clip_norm: float,
    generator: torch.Generator | None = None,
) -> DisclosedStatistics:
    """Return the statistics with noise, and epsilon, delta and the clip norm written into them.

    Args:
        statistics: of level `moments`, collected with the same `clip_norm`.
        epsilon: privacy loss, > 0.
        delta: probability of more, in (0, 1); well below one over the number of images.
        clip_norm: R of the module's docstring, chosen without looking at this site's images.
        generator: of the noise; None, the only private choice, takes the operating system's entropy.

    Raises:
        InvalidSettings: if a parameter is out of range, the level is not `moments`, the mechanism was applied
            already, or the statistics exceed what `clip_norm` allows.
    """
    if statistics.level is not Disclosure.MOMENTS:
        raise InvalidSettings(
            f"the Gaussian mechanism covers moments, not {statistics.level}: disclose moments, or no epsilon"
        )
    if statistics.epsilon:
        raise InvalidSettings("these statistics carry an epsilon already: apply the mechanism once")
    if not 0 < clip_norm < math.inf:
        raise InvalidSettings(f"clip_norm must be a positive number; got {clip_norm}")
    check_budget(epsilon, delta)
    without, with_category = (
        _noised(one, epsilon, delta, clip_norm, generator) for one in statistics.classes
    )
    budget = {"epsilon": epsilon, "delta": delta, "clip_norm": clip_norm}
    return replace(statistics, classes=(without, with_category), **budget)


def check_budget(epsilon: float, delta: float) -> None:
    """Check the range of a privacy budget.

    Raises:
        InvalidSettings: if epsilon is not positive and finite, or delta not in (0, 1).
    """
    if not 0 < epsilon < math.inf:
        raise InvalidSettings(f"epsilon must be a positive number; got {epsilon}")
    if not 0 < delta < 1:
        raise InvalidSettings(f"delta must lie between 0 and 1; got {delta}")


def gaussian_delta(sigma: float, sensitivity: float, epsilon: float) -> float:
    """Return the exact delta of noise of deviation `sigma` (theorem 8)."""
    half, slope = sensitivity / (2 * sigma), epsilon * sigma / sensitivity
    above, below = _log_normal_cdf(half - slope), _log_normal_cdf(-half - slope)
    return math.exp(above) - math.exp(min(0.0, epsilon + below))  # e^eps Phi(b) <= Phi(a) <= 1


def gaussian_sigma(sensitivity: float, epsilon: float, delta: float) -> float:
    """Return the least deviation of noise, to 1 part in 10^9, that gives (epsilon, delta).

    Raises:
        InvalidSettings: if the budget is out of range.
    """
    check_budget(epsilon, delta)
    low, high = 0.0, sensitivity
    while gaussian_delta(high, sensitivity, epsilon) > delta:
        low, high = high, 2 * high
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        if gaussian_delta(middle, sensitivity, epsilon) > delta:
            low = middle
        else:
            high = middle
    return high


def noise_reach(
    channels: int, clip_norm: float, deviation: float, mean_deviation: float | None = None
) -> float:
    """Return how far the noise can push the root mean square norm of a class's features.

    With the noise (v, N) on mean m and second moment S the norm that comes out is at most
    sqrt(|m + v|^2 + tr S + tr N+), N+ being the positive part of N: at most
    sqrt(|m|^2 + tr S) + |v| + sqrt(tr N+). For standard normal noise E |v| <= sqrt(M) and
    E tr N+ <= M / 2 sqrt((M + 1) / 2), and neither is more than 6 of its Lipschitz constants (1 and sqrt(M))
    above that but once in 60 million times. An upper bound for the honest, and one for those who lie.

    Args:
        channels: M.
        clip_norm: R of the module's docstring.
        deviation: of the noise on S in units of R^2, as `gaussian_sigma` gives it.
        mean_deviation: of the noise on m in units of R, where it is another one.
    """
    mean = (deviation if mean_deviation is None else mean_deviation) * (math.sqrt(channels) + _DEVIATIONS)
    trace = channels / 2 * math.sqrt((channels + 1) / 2) + _DEVIATIONS * math.sqrt(channels)
    return clip_norm * (mean + math.sqrt(deviation * trace))


def _noised(
    one: ClassStatistics, epsilon: float, delta: float, clip_norm: float, generator: torch.Generator | None
) -> ClassStatistics:
    mean_C, covariance_CC = one.mean_C.to(torch.float64), one.covariance_CC.to(torch.float64)
    second_CC = covariance_CC + torch.outer(mean_C, mean_C)
    if float(second_CC.trace()) > clip_norm**2 * (1 + _ROUNDING) or bool((mean_C < 0).any()):
        raise InvalidSettings(
            f"these statistics are not of features clipped to {clip_norm:g}: collect them with this clip_norm"
        )
    sigma = gaussian_sigma(2 / one.sample_count, epsilon, delta)
    noise_C, noise_CC = _normal(mean_C.shape, generator), _normal(second_CC.shape, generator)
    noisy_C = (mean_C + sigma * clip_norm * noise_C).clamp(min=0)  # features are; post-processing
    noisy_CC = second_CC + sigma * clip_norm**2 * (noise_CC + noise_CC.T) / 2
    covariance = nearest_covariance(noisy_CC - torch.outer(noisy_C, noisy_C))
    return replace(one, mean_C=noisy_C.to(torch.float32), covariance_CC=covariance.to(torch.float32))


def nearest_covariance(matrix_CC: Tensor) -> Tensor:
    """Return the positive semidefinite matrix that is nearest in the Frobenius norm to a symmetric one."""
    values_C, vectors_CC = torch.linalg.eigh(matrix_CC)
    return (vectors_CC * values_C.clamp(min=0)) @ vectors_CC.T


def _normal(shape: torch.Size, generator: torch.Generator | None) -> Tensor:
    """Return standard normal numbers, float64."""
    if generator is not None:
        return torch.randn(shape, generator=generator, dtype=torch.float64)
    draw = SystemRandom()
    numbers = [draw.normalvariate() for _ in range(shape.numel())]
    return torch.tensor(numbers, dtype=torch.float64).view(shape)


def _log_normal_cdf(value: float) -> float:
    return float(torch.special.log_ndtr(torch.tensor(value, dtype=torch.float64)))
