"""What the noise that a site says it added can explain of its figures: an upper bound, and never anything.

A site that lies says that it added noise, too. So a clip norm that is far from the features', and noise that
leaves nothing of the figures, are refused themselves.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from transplant.datafree.feature_statistics import MINIMUM_SAMPLES
from transplant.datafree.privacy import gaussian_sigma, noise_reach
from transplant.types import Disclosure

if TYPE_CHECKING:
    from transplant.artifact.manifest import Manifest
    from transplant.nets.disclosures import ClassStatistics, DisclosedStatistics

FACTOR = 30.0
"""How far a declared scale may be from that on synthetic images.

Nets taught on digits and on mammals answer photographs, plain black and plain white with 0.3 to 1.3 times
the scale of what they answer the synthetic images.
"""

_DROWNED = FACTOR**2


def class_noise(
    statistics: DisclosedStatistics, one: ClassStatistics, measured: float, against: list[str]
) -> float:
    """Return what noise explains of the root mean square norm that a class is said to have.

    Args:
        statistics: those of both classes, with the mechanism that they name.
        one: the class.
        measured: the root mean square norm on synthetic images.
        against: where what speaks against the noise itself is added.
    """
    if statistics.epsilon <= 0 or statistics.level is not Disclosure.MOMENTS:
        return 0.0  # the mechanism covers no other level
    clip_norm = _clip_norm(statistics.clip_norm, measured, against)
    sigma = gaussian_sigma(2 / one.sample_count, statistics.epsilon, statistics.delta)
    return _bounded(noise_reach(len(one.mean_C), clip_norm, sigma), measured, against)


def manifest_noise(manifest: Manifest, measured: float, against: list[str]) -> float:
    """Return what noise explains of the root mean square norm that a category module's manifest tells.

    The figures are both classes' together: a root of squares weighted by the shares of the samples, which no
    more than adds up what each class's noise does (Minkowski). Deviations are in inverse proportion to a
    class's samples, so the shares' mean of them is the same however the samples are divided; that of their
    squares is at most this times the largest, which the fewest samples that a class may have would give.
    """
    told = manifest.metrics
    epsilon, delta = told.get("epsilon", 0.0), told.get("delta", 0.0)
    if not epsilon and not delta:
        return 0.0
    if not (0 < epsilon < math.inf and 0 < delta < 1):
        against.append(f"metrics: ({epsilon:g}, {delta:g}) is no (epsilon, delta)")
        return 0.0
    clip_norm = _clip_norm(told.get("clip_norm", 0.0), measured, against)
    shared = gaussian_sigma(4 / manifest.statistics.sample_count, epsilon, delta)
    most = max(shared, gaussian_sigma(2 / MINIMUM_SAMPLES, epsilon, delta))
    reach = noise_reach(manifest.seam.channels, clip_norm, shared, math.sqrt(shared * most))
    return _bounded(reach, measured, against)


def _clip_norm(told: float, measured: float, against: list[str]) -> float:
    """Return the clip norm to reckon with: where none is told, the largest that would be taken."""
    largest = FACTOR * measured
    if told < 0 or told > largest:
        against.append(
            f"metrics.clip_norm is {told:.4g}, and the features of synthetic images have a norm of "
            f"{measured:.4g}; a factor of {FACTOR:g} is taken: choose one that is nearer"
        )
    return min(told, largest) if told > 0 else largest


def _bounded(noise: float, measured: float, against: list[str]) -> float:
    if noise > _DROWNED * measured:
        against.append(
            f"the noise may be {noise / measured:.3g} times what synthetic images give: nothing is left of "
            "the figures; take a larger epsilon, a nearer clip norm, more images or a lower level"
        )
    return min(noise, _DROWNED * measured)
