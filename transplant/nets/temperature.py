"""The temperature at which a route's answers are as sure as they are right, fitted on labelled images.

Whoever has labels fits it where they lie; one number comes out. p = sigmoid(logit / T), T > 0, minimises the
cross-entropy (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017). Targets are not 0 and 1 but
Platt's (1999), (N+ + 1) / (N+ + 2) and 1 / (N- + 2): few images, all answered rightly, are no certainty.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from transplant.errors import InvalidSettings
from transplant.nets.measures import VOID, as_images
from transplant.nets.placement import CPU, device_of, to_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TEMPERATURE = "temperature"
"""Its name among the measures of a verdict; `validation_temperature` in the manifest of a task module."""
COLDEST, HOTTEST = 1e-2, 1e2
_HALVINGS = 40
_PIXELS_AN_IMAGE = 4096
"""Of a segmentation so many pixels of an image are looked at: neighbours say the same."""


class TemperatureFit:
    """Looks at a route's answers, a batch at a time, and says the temperature that suits them."""

    def __init__(self) -> None:
        self._logits: list[Tensor] = []
        self._targets: list[Tensor] = []

    def look(self, logits: Tensor, targets: Tensor) -> None:
        """Take in logits (B, 1) or (B, 1, H, W), on any device, and targets (B,) or (B, H, W), 255 = void."""
        pixels = targets[0].numel() if len(targets) else 1
        step = max(1, pixels // _PIXELS_AN_IMAGE)
        self._logits.append(to_device(logits.flatten(1)[:, ::step].flatten(), CPU))
        self._targets.append(targets.reshape(len(targets), -1)[:, ::step].flatten())

    def temperature(self) -> float:
        """Return the temperature.

        Raises:
            InvalidSettings: if there was nothing to look at.
        """
        told = torch.cat([torch.empty(0, dtype=torch.uint8), *self._targets])
        logits = torch.cat([torch.empty(0), *self._logits])
        return fitted_temperature(logits[told != VOID], told[told != VOID])


@torch.no_grad()
def route_temperature(net: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Return the temperature of a route; where it is measured anyhow, `measure` lets a `TemperatureFit` look.

    Args:
        net: images -> logits, (B, 1) or (B, 1, H, W), on any device.
        batches: uint8 images (B, 3, H, W) and uint8 targets, (B,) or (B, H, W) with 255 = void.

    Raises:
        InvalidSettings: if there is nothing to look at.
    """
    place = device_of(net) if isinstance(net, nn.Module) else CPU
    fit = TemperatureFit()
    for images, targets in batches:
        fit.look(net(as_images(to_device(images, place))), targets)
    return fit.temperature()


def fitted_temperature(logits_N: Tensor, targets_N: Tensor) -> float:
    """Return the temperature in `COLDEST`..`HOTTEST` that suits N logits to N targets of 0 or 1.

    The cross-entropy is convex in 1/T: it is lowest where its slope, the mean of (sigmoid(l / T) - t) l,
    changes its sign.

    Raises:
        InvalidSettings: if there is no logit.
    """
    if logits_N.numel() == 0:
        raise InvalidSettings("a temperature is fitted on labelled images, and there is none")
    logits, positive = logits_N.to(torch.float64), targets_N == 1
    count = int(positive.sum())
    sure = torch.where(positive, (count + 1) / (count + 2), 1 / (len(positive) - count + 2))
    return warm_enough(lambda each: float(((torch.sigmoid(logits / each) - sure) * logits).mean()) > 0)


def warm_enough(too_sure: Callable[[float], bool]) -> float:
    """Return the lowest temperature of `COLDEST`..`HOTTEST` that is not too sure, halving its logarithm."""
    low, high = math.log(COLDEST), math.log(HOTTEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if too_sure(math.exp(middle)) else (low, middle)
    return math.exp((low + high) / 2)


def told_temperature(value: float) -> float | None:
    """Return a temperature that somebody told, or None if it can be none."""
    return value if COLDEST <= value <= HOTTEST else None
