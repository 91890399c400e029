"""Aggregate feature statistics of f on the site's images, at the level that the site discloses.

`scale` is E||f(I)||_F with every channel's mean and variance, streamed (Welford's recurrence in its
batched form: Chan, Golub, LeVeque 1979), so memory stays flat. Too few images are refused: an aggregate
of few is a portrait of them.

Shape suffixes: B samples, C channels, H and W places of the seam.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from transplant.artifact.manifest_fields import FeatureStatistics
from transplant.errors import DatasetInvalid, InvalidSettings
from transplant.nets.measures import as_images
from transplant.types import Disclosure

if TYPE_CHECKING:
    from collections.abc import Iterable

MINIMUM_SAMPLES = 100  # the site's own floor: stricter than what a manifest may say


@dataclass
class ChannelMoments:
    """Running count, mean and sum of squared deviations of every channel, in float64."""

    count: int = 0
    mean_C: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    squares_C: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))

    def add(self, features_BCHW: Tensor) -> None:
        """Take in one batch; every place of every sample is one observation of its channel."""
        values_CN = features_BCHW.to(torch.float64).transpose(0, 1).flatten(1)
        count = values_CN.shape[1]
        mean_C = values_CN.mean(dim=1)
        squares_C = (values_CN - mean_C[:, None]).square().sum(dim=1)
        if self.count == 0:
            self.count, self.mean_C, self.squares_C = count, mean_C, squares_C
            return
        total = self.count + count
        apart_C = mean_C - self.mean_C
        self.squares_C = self.squares_C + squares_C + apart_C.square() * (self.count * count / total)
        self.mean_C = self.mean_C + apart_C * (count / total)
        self.count = total

    @property
    def variance_C(self) -> Tensor:
        """Return the population variance of every channel."""
        return self.squares_C / max(1, self.count)


@torch.no_grad()
def disclose(
    category_module: nn.Module, image_batches: Iterable[Tensor], level: Disclosure
) -> FeatureStatistics:
    """Compute what a site tells about x = f(I).

    Args:
        category_module: f, in evaluation mode.
        image_batches: uint8 (B,3,H,W) images of the site.
        level: how much to tell, `none` or `scale`.

    Raises:
        InvalidSettings: for a level that this site cannot compute.
        DatasetInvalid: if there are fewer than `MINIMUM_SAMPLES` images to aggregate.
    """
    if level is Disclosure.NONE:
        return FeatureStatistics()
    if level is not Disclosure.SCALE:
        raise InvalidSettings(f"--disclosure {level} is not possible: use none or scale")
    moments, norms, samples = ChannelMoments(), 0.0, 0
    for images in image_batches:
        features = category_module(as_images(images))
        moments.add(features)
        norms += float(features.to(torch.float64).flatten(1).norm(dim=1).sum())
        samples += len(images)
    if samples < MINIMUM_SAMPLES:
        raise DatasetInvalid(
            f"--disclosure {level} needs {MINIMUM_SAMPLES} images to aggregate, this site has "
            f"{samples}: take none"
        )
    return FeatureStatistics(
        level=level,
        sample_count=samples,
        mean_norm=norms / samples,
        channel_mean=tuple(moments.mean_C.tolist()),
        channel_variance=tuple(moments.variance_C.tolist()),
    )
