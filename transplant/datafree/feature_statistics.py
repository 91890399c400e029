"""Aggregate statistics of x = f(I) for each class of a site, collected in one streaming pass.

| level | of each class (images without and with the category) | floats |
|---|---|---|
| moments | channel mean and covariance over images and places | M + M^2 |
| pca | also the mean map, K principal directions times their deviation, residuals | M H W (1 + K) + M |
| pca of large maps | also means on a grid of G cells, a channel factor, a spatial factor | M G + (M + G) K |

Maps are large above `transplant.datafree.kronecker_factors.FULL_FORM_NUMBERS` numbers.
Both need at least `MINIMUM_SAMPLES` images of either class: an aggregate of few is a portrait of them.
Memory does not grow with the number of images.

Shape suffixes: B images, C channels, H and W places of the seam.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from transplant.datafree.channel_moments import ChannelMoments
from transplant.datafree.kronecker_factors import FULL_FORM_NUMBERS, KroneckerSketch
from transplant.datafree.principal_directions import DirectionSketch
from transplant.errors import DatasetInvalid, InvalidSettings, TensorNotFinite
from transplant.nets.disclosures import ClassStatistics, DisclosedStatistics, KroneckerFactors
from transplant.nets.measures import as_images
from transplant.nets.placement import CPU, beside, to_device
from transplant.types import Disclosure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MINIMUM_SAMPLES = 100
"""Fewest images of a class that may be aggregated."""

MAXIMUM_DIRECTIONS = 128
"""Most principal directions of a class that may be told."""

_CHUNK_PIXELS = 1 << 20
_OVERSAMPLING = 2


@torch.no_grad()
def collect_statistics(
    category_module: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    level: Disclosure,
    *,
    directions: int = 32,
    clip_norm: float | None = None,
) -> DisclosedStatistics:
    """Aggregate x over a site's labelled images; the result does not depend on how they are batched.

    Args:
        category_module: f, in evaluation mode, on any device.
        batches: uint8 images (B, 3, H, W) with uint8 labels (B,), 1 = shows the category.
        level: `moments` or `pca`.
        directions: K, principal directions of a class (level `pca`).
        clip_norm: bound on the root mean square, over places, of the norm of an image's channel vector;
            images above it are scaled down to it, which `transplant.datafree.privacy` asks for.

    Raises:
        InvalidSettings: for another level, or a knob out of range.
        DatasetInvalid: if a class has fewer than `MINIMUM_SAMPLES` images or fewer than two a direction,
            or if labels do not fit their images.
        TensorNotFinite: if f answers NaN or an infinity.
    """
    if level not in (Disclosure.MOMENTS, Disclosure.PCA):
        raise InvalidSettings(
            f"level {level} has no class statistics: collect moments or pca (scale stands in the manifest)"
        )
    if not 1 <= directions <= MAXIMUM_DIRECTIONS:
        raise InvalidSettings(f"directions must lie in 1..{MAXIMUM_DIRECTIONS}; got {directions}")
    if clip_norm is not None and not 0 < clip_norm < math.inf:
        raise InvalidSettings(f"clip_norm must be a positive number; got {clip_norm}")
    collected = [_ClassAggregate(level, directions) for _ in range(2)]
    for images, labels in batches:
        _check_labels(images, labels)
        told = zip(labels.split(chunk_of(images)), checked_features(category_module, images), strict=True)
        for labels_B, features_BCHW in told:
            x = features_BCHW if clip_norm is None else clip_features(features_BCHW, clip_norm)
            for label, aggregate in enumerate(collected):
                aggregate.add(x[labels_B == label])
    without, with_category = (aggregate.finish(label) for label, aggregate in enumerate(collected))
    return DisclosedStatistics(level, (without, with_category))


def checked_features(category_module: nn.Module, images_u8_BCHW: Tensor) -> Iterator[Tensor]:
    """Yield f of a batch of uint8 images in parts of `chunk_of(images)`, so that memory stays flat.

    Raises:
        TensorNotFinite: if f answers NaN or an infinity.
    """
    for part in images_u8_BCHW.split(chunk_of(images_u8_BCHW)):
        features = category_module(as_images(beside(part, category_module))).to(torch.float32)
        features_BCHW = to_device(
            features, CPU
        )  # f takes most of the time; sums are the same on every device
        if not bool(features_BCHW.isfinite().all()):
            raise TensorNotFinite(
                "the category module answers NaN or an infinity on this site's images: train it again with a "
                "lower learning rate before anything of it is told"
            )
        yield features_BCHW


def chunk_of(images_BCHW: Tensor) -> int:
    """Return how many images of this size go through f at once."""
    return max(1, _CHUNK_PIXELS // (images_BCHW.shape[-2] * images_BCHW.shape[-1]))


def clip_features(features_BCHW: Tensor, clip_norm: float) -> Tensor:
    """Return x >= 0 with a root mean square norm of an image's channel vectors of at most `clip_norm`.

    The whole map of an image is scaled by one factor, so that its pattern stays; features come out of a
    ReLU, so that cutting at zero changes nothing unless f is not what it should be.
    """
    x = features_BCHW.clamp(min=0)
    norm_B = x.square().sum(1).mean((1, 2), dtype=torch.float64).sqrt()
    factor_B = (clip_norm / norm_B.clamp(min=1e-30)).clamp(max=1)
    return x * factor_B.to(x.dtype).view(-1, 1, 1, 1)


class _ClassAggregate:
    """What runs along for one class."""

    def __init__(self, level: Disclosure, directions: int) -> None:
        self._level, self._directions = level, directions
        self._samples = 0
        self._moments = ChannelMoments()
        self._sketch: DirectionSketch | KroneckerSketch | None = None

    def add(self, features_BCHW: Tensor) -> None:
        if not len(features_BCHW):
            return
        self._samples += len(features_BCHW)
        self._moments.add(features_BCHW)
        if self._level is not Disclosure.PCA:
            return
        if self._sketch is None:
            large = features_BCHW[0].numel() > FULL_FORM_NUMBERS
            self._sketch = KroneckerSketch() if large else DirectionSketch(_OVERSAMPLING * self._directions)
        self._sketch.add(features_BCHW)

    def finish(self, label: int) -> ClassStatistics:
        kind = ("without", "with")[label]
        if self._samples < MINIMUM_SAMPLES:
            raise DatasetInvalid(
                f"level {self._level} needs {MINIMUM_SAMPLES} images {kind} the category to aggregate, this "
                f"site has {self._samples}: disclose scale or none, or gather more"
            )
        mean_C = self._moments.mean_C.to(torch.float32)
        covariance_CC = self._moments.covariance_CC.to(torch.float32)
        if self._sketch is None:
            return ClassStatistics(self._samples, mean_C, covariance_CC)
        if 2 * self._directions > self._samples:
            raise DatasetInvalid(
                f"{self._directions} directions of {self._samples} images {kind} the category would be their "
                f"portraits: take at most {self._samples // 2}"
            )
        told = self._sketch.finish(self._directions)
        if isinstance(told, KroneckerFactors):
            return ClassStatistics(self._samples, mean_C, covariance_CC, kronecker=told)
        return ClassStatistics(self._samples, mean_C, covariance_CC, *told)


def _check_labels(images: Tensor, labels: Tensor) -> None:
    if labels.shape != (len(images),):
        raise DatasetInvalid(
            f"{len(images)} images need as many labels, one each; got the shape {tuple(labels.shape)}"
        )
    if bool(((labels != 0) & (labels != 1)).any()):
        raise DatasetInvalid("labels must be 0 (without the category) or 1 (with it)")
