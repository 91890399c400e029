"""What a net answers about images for one task, over its categories at once, and how answers compare.

Logits of two categories come from two teachers that were trained apart: one may be surer than the other and
mean the same. A calibration puts them on one scale, p = sigmoid((logit - offset) / temperature) (Platt 1999;
Guo et al., "On Calibration of Modern Neural Networks", 2017), after which they can be compared.

Shape suffixes: B images, G categories; a segmentation has H and W behind them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from torch import Tensor

    from transplant.types import Task


@dataclass(frozen=True)
class Calibration:
    """How sure a route's logits are: p = sigmoid((logit - offset) / temperature).

    Raises:
        InvalidSettings: if the temperature is not a positive number or the offset none at all.
    """

    temperature: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0 and math.isfinite(self.offset)):
            raise InvalidSettings(
                f"a calibration needs a temperature over 0 and a finite offset; got {self.temperature} "
                f"and {self.offset}"
            )


@dataclass(frozen=True)
class Prediction:
    """Answers of one version of the net.

    Args:
        version: number of the version that gave every one of them.
        task: which task.
        categories: G names, the order of the second dimension.
        logits_BG: float32 (B, G), or (B, G, H, W) for segmentation; NaN where a route was not run.
        calibrations: one a category.
        ran_BG: which routes were run for which image.
    """

    version: int
    task: Task
    categories: tuple[str, ...]
    logits_BG: Tensor
    calibrations: tuple[Calibration, ...]
    ran_BG: Tensor

    @property
    def probabilities_BG(self) -> Tensor:
        """Return calibrated probabilities in the shape of the logits; 0 where a route was not run."""
        shape = (1, -1, *(1 for _ in self.logits_BG.shape[2:]))
        offsets = torch.tensor([each.offset for each in self.calibrations]).view(shape)
        temperatures = torch.tensor([each.temperature for each in self.calibrations]).view(shape)
        return torch.sigmoid((self.logits_BG - offsets) / temperatures).nan_to_num_(0.0)

    @property
    def best_B(self) -> Tensor:
        """Return the place of the most probable category, int64 (B,), of a segmentation for each pixel."""
        return self.probabilities_BG.argmax(dim=1)
