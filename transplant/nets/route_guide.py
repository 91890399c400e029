"""What is known about a route beside its weights: how sure its logits are, and where it is worth running.

The plausibility of a route for an image is a linear function of a summary of its own category module's
features: of each channel the mean in every cell of a coarse grid and the deviation over all places. It costs
f, about a quarter of a route, and stands in for the route's calibrated log-odds.

Shape suffixes: B images, C channels, H and W places, D entries of a summary.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from transplant.errors import InvalidSettings
from transplant.nets.prediction import Calibration

if TYPE_CHECKING:
    from collections.abc import Sequence

GRID = 4
"""Cells a side in which a channel is averaged."""


@dataclass(frozen=True)
class RouteGuide:
    """Of one route.

    Args:
        calibration: of its logits.
        plausibility_D: weights of a summary, the last one a constant; None where nobody learned them.
    """

    calibration: Calibration = field(default_factory=Calibration)
    plausibility_D: Tensor | None = None


def summary_of(features_BCHW: Tensor) -> Tensor:
    """Return what a plausibility looks at, float32 (B, D), D = C (GRID^2 + 1) + 1."""
    cells = functional.adaptive_avg_pool2d(features_BCHW, GRID).flatten(1)
    deviations = features_BCHW.flatten(2).std(dim=2, correction=0)
    return torch.cat([cells, deviations, torch.ones(len(cells), 1)], dim=1)


def plausibility(guides: Sequence[RouteGuide], features_NCHW: Tensor) -> Tensor:
    """Return how plausible routes are for images, (G, B).

    Args:
        guides: of G routes whose category modules have one form.
        features_NCHW: of all of them, category by category, N = G B.

    Raises:
        InvalidSettings: if a guide has no weights, or those of another category module.
    """
    weights = [guide.plausibility_D for guide in guides if guide.plausibility_D is not None]
    if len(weights) < len(guides):
        raise InvalidSettings("a budget needs a guide of every route: learn the guides of this version first")
    summary_ND = summary_of(features_NCHW)
    for weights_D in weights:
        if len(weights_D) != summary_ND.shape[1]:
            raise InvalidSettings(
                f"the guide has {len(weights_D)} weights and the summary {summary_ND.shape[1]} "
                "entries: it is another net's"
            )
    summary_GBD = summary_ND.unflatten(0, (len(guides), -1))
    return (summary_GBD @ torch.stack(weights).unsqueeze(2)).squeeze(2)
