"""What a site's manifest tells about x = f(I): the small figures of level `scale`.

They are E||f(I)||_F with every channel's mean and variance over all images. The levels `moments` and
`pca` imply them; what these levels tell beyond is an artifact of its own
(`transplant.datafree.feature_statistics`), so the manifest says `scale` there, too. Too few images are
refused: an aggregate of few is a portrait of them.

Shape suffixes: C channels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from transplant.artifact.manifest_fields import FeatureStatistics
from transplant.datafree.channel_moments import ChannelMoments
from transplant.datafree.feature_statistics import MINIMUM_SAMPLES, checked_features
from transplant.errors import DatasetInvalid
from transplant.types import Disclosure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from transplant.nets.disclosures import DisclosedStatistics
    from transplant.types import Seam


@torch.no_grad()
def disclose(
    category_module: nn.Module, image_batches: Iterable[Tensor], level: Disclosure
) -> FeatureStatistics:
    """Compute the manifest's figures about x = f(I), exactly and in one pass of flat memory.

    Args:
        category_module: f, in evaluation mode.
        image_batches: uint8 (B,3,H,W) images of the site.
        level: how much the site tells; every level but `none` implies these figures.

    Raises:
        DatasetInvalid: if there are fewer than `MINIMUM_SAMPLES` images to aggregate.
        TensorNotFinite: if f answers NaN or an infinity.
    """
    if level is Disclosure.NONE:
        return FeatureStatistics()
    moments, norms, samples = ChannelMoments(), 0.0, 0
    for images in image_batches:
        for features_BCHW in checked_features(category_module, images):
            moments.add(features_BCHW)
            norms += float(features_BCHW.to(torch.float64).flatten(1).norm(dim=1).sum())
            samples += len(features_BCHW)
    if samples < MINIMUM_SAMPLES:
        raise DatasetInvalid(
            f"--disclosure {level} needs {MINIMUM_SAMPLES} images to aggregate, this site has "
            f"{samples}: take none"
        )
    return FeatureStatistics(
        level=Disclosure.SCALE,
        sample_count=samples,
        mean_norm=norms / samples,
        channel_mean=tuple(moments.mean_C.tolist()),
        channel_variance=tuple(moments.variance_C.tolist()),
    )


def implied_figures(statistics: DisclosedStatistics, seam: Seam) -> FeatureStatistics:
    """Derive the manifest's figures from class statistics, looking at no image.

    Where a Gaussian mechanism was applied this is what the manifest may say: the exact figures of `disclose`
    would undo it. Mean and variance are those of both classes pooled; `mean_norm` is the root mean square of
    ||f(I)||_F, which is a little above its mean.

    Args:
        statistics: of both classes, with noise or without.
        seam: the shape of x.
    """
    samples = sum(one.sample_count for one in statistics.classes)
    mean_C = torch.zeros(seam.channels, dtype=torch.float64)
    second_C = torch.zeros(seam.channels, dtype=torch.float64)
    for one in statistics.classes:
        share = one.sample_count / samples
        own_C = one.mean_C.to(torch.float64)
        mean_C += share * own_C
        second_C += share * (one.covariance_CC.diagonal() + own_C.square())
    return FeatureStatistics(
        level=Disclosure.SCALE,
        sample_count=samples,
        mean_norm=math.sqrt(seam.height * seam.width * float(second_C.sum())),
        channel_mean=tuple(mean_C.tolist()),
        channel_variance=tuple((second_C - mean_C.square()).clamp(min=0).tolist()),
    )
