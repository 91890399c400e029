"""What stands out among modules of one architecture: near copies of another site's, and odd magnitudes.

For the operator to look at, never a reason to refuse: a teacher that was fine-tuned from public weights is
like others that were, and somebody has to be the first with an unusual net.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NEAR = 0.98
"""Cosine of two fingerprints from which on weights count as near copies; their noise is about 0.06."""

FAR = 3.5
"""Robust z-score from which on a figure counts as an outlier (Iglewicz and Hoaglin 1993)."""

FEWEST = 5
"""Fewest modules of an architecture among which one can stand out."""

_MEASURED = (
    "weights.norm",
    "weights.largest",
    "features.mean_norm",
    "logits.deviation",
    "logits.largest",
)
_NORMAL = 0.6745  # the median absolute deviation of a normal distribution, over its standard deviation
_LEAST_SPREAD = 0.02  # decades: twins differ by rounding, which is no spread to measure by
_ROWS = 512


@dataclass(frozen=True)
class Specimen:
    """A registered module as it is compared; `group` names architecture, kind and task."""

    module_id: str
    site: str
    group: str
    figures: Mapping[str, float]
    fingerprint: tuple[float, ...]


@dataclass(frozen=True)
class NearCopy:
    """Two modules of different sites with nearly the same weights."""

    earlier: str
    later: str
    cosine: float


@dataclass(frozen=True)
class Outlier:
    """A figure of a module that is far from those of its group; both are in decades."""

    module_id: str
    figure: str
    value: float
    median: float
    z_score: float


def near_copies(specimens: Sequence[Specimen], near: float = NEAR) -> tuple[NearCopy, ...]:
    """Return the pairs of different sites whose fingerprints' cosine is at least `near`, nearest first.

    Args:
        specimens: in the order in which they were registered.
        near: the threshold.
    """
    found: list[NearCopy] = []
    for members in _groups(specimens):
        with_print = [each for each in members if any(each.fingerprint)]
        if not with_print:
            continue
        unit = np.array([each.fingerprint for each in with_print], dtype=np.float32)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        for start in range(0, len(unit), _ROWS):
            cosines = unit[start : start + _ROWS] @ unit.T
            for row, column in np.argwhere(cosines >= near).tolist():
                later, earlier = with_print[start + row], with_print[column]
                if column < start + row and earlier.site != later.site:
                    found.append(NearCopy(earlier.module_id, later.module_id, float(cosines[row, column])))
    return tuple(sorted(found, key=lambda pair: -pair.cosine))


def outliers(specimens: Sequence[Specimen], far: float = FAR) -> tuple[Outlier, ...]:
    """Return figures whose robust z-score within their group, on a logarithmic scale, is over `far`."""
    found: list[Outlier] = []
    for members in _groups(specimens):
        for figure in _MEASURED:
            known = [(each, each.figures[figure]) for each in members if each.figures.get(figure, 0.0) > 0]
            if len(known) < FEWEST:
                continue
            values = np.array([math.log10(value) for _, value in known])
            median = float(np.median(values))
            spread = max(float(np.median(np.abs(values - median))), _LEAST_SPREAD)
            for (each, _), value in zip(known, values.tolist(), strict=True):
                z_score = _NORMAL * (value - median) / spread
                if abs(z_score) > far:
                    found.append(Outlier(each.module_id, figure, value, median, z_score))
    return tuple(sorted(found, key=lambda each: -abs(each.z_score)))


def _groups(specimens: Sequence[Specimen]) -> Iterator[list[Specimen]]:
    groups: defaultdict[str, list[Specimen]] = defaultdict(list)
    for each in specimens:
        groups[each.group].append(each)
    yield from groups.values()
