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


@torch.no_grad()
def route_temperature(net: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Return the temperature of a route.

    Args:
        net: images -> logits, (B, 1) or (B, 1, H, W), on any device.
        batches: uint8 images (B, 3, H, W) and uint8 targets, (B,) or (B, H, W) with 255 = void.

    Raises:
        InvalidSettings: if there is nothing to look at.
    """
    place = device_of(net) if isinstance(net, nn.Module) else CPU
    logits: list[Tensor] = []
    targets: list[Tensor] = []
    for images, truth in batches:
        pixels = truth[0].numel() if len(truth) else 1
        step = max(1, pixels // _PIXELS_AN_IMAGE)
        logits.append(
            to_device(net(as_images(to_device(images, place))), CPU).flatten(1)[:, ::step].flatten()
        )
        targets.append(truth.reshape(len(truth), -1)[:, ::step].flatten())
    if not logits:
        raise InvalidSettings("a temperature is fitted on labelled images, and there is none")
    told = torch.cat(targets)
    return fitted_temperature(torch.cat(logits)[told != VOID], told[told != VOID])


def fitted_temperature(logits_N: Tensor, targets_N: Tensor) -> float:
    """Return the temperature in `COLDEST`..`HOTTEST` that suits N logits to N targets of 0 or 1.

    The cross-entropy is convex in 1/T: where its slope, the mean of (sigmoid(l / T) - t) l, changes its sign
    is found by halving.

    Raises:
        InvalidSettings: if there is no logit.
    """
    if logits_N.numel() == 0:
        raise InvalidSettings("a temperature is fitted on labelled images, and there is none")
    logits, positive = logits_N.to(torch.float64), targets_N == 1
    count = int(positive.sum())
    sure = torch.where(positive, (count + 1) / (count + 2), 1 / (len(positive) - count + 2))
    low, high = math.log(COLDEST), math.log(HOTTEST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        slope = float(((torch.sigmoid(logits / math.exp(middle)) - sure) * logits).mean())
        low, high = (middle, high) if slope > 0 else (low, middle)  # too sure: it must be warmer
    return math.exp((low + high) / 2)
