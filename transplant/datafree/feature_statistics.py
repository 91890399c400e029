"""Aggregate statistics of x = f(I) for each class of a site, collected in one streaming pass.

| level | of each class (images without and with the category) | floats |
|---|---|---|
| moments | channel mean and covariance over images and places | M + M^2 |
| pca | also the mean map, K principal directions times their deviation, residuals | M H W (1 + K) + M |

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
from transplant.datafree.principal_directions import DirectionSketch
from transplant.errors import DatasetInvalid, InvalidSettings, PayloadMalformed, TensorNotFinite
from transplant.nets.disclosures import ClassStatistics, DisclosedStatistics
from transplant.nets.measures import as_images
from transplant.types import Disclosure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from transplant.types import Seam

MINIMUM_SAMPLES = 100
"""Fewest images of a class that may be aggregated."""

MAXIMUM_DIRECTIONS = 128
"""Most principal directions of a class that may be told."""

_CHUNK_PIXELS = 1 << 20
_OVERSAMPLING = 2
_ROUNDED = 1e-5  # what float32 may do to a figure, relative to the largest variance
_AGREEMENT = 1e-3  # of figures that are told twice
_LARGEST = 1e6  # as for weights: a larger figure is broken or hostile
_MOMENTS = ("mean", "covariance", "sample_count")
_PCA = ("mean_map", "directions", "residual")


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
        category_module: f, in evaluation mode.
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
        features_BCHW = category_module(as_images(part)).to(torch.float32)
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
        self._sketch = DirectionSketch(_OVERSAMPLING * directions)

    def add(self, features_BCHW: Tensor) -> None:
        if not len(features_BCHW):
            return
        self._samples += len(features_BCHW)
        self._moments.add(features_BCHW)
        if self._level is Disclosure.PCA:
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
        if self._level is Disclosure.MOMENTS:
            return ClassStatistics(self._samples, mean_C, covariance_CC)
        if 2 * self._directions > self._samples:
            raise DatasetInvalid(
                f"{self._directions} directions of {self._samples} images {kind} the category would be their "
                f"portraits: take at most {self._samples // 2}"
            )
        return ClassStatistics(self._samples, mean_C, covariance_CC, *self._sketch.finish(self._directions))


def _check_labels(images: Tensor, labels: Tensor) -> None:
    if labels.shape != (len(images),):
        raise DatasetInvalid(
            f"{len(images)} images need as many labels, one each; got the shape {tuple(labels.shape)}"
        )
    if bool(((labels != 0) & (labels != 1)).any()):
        raise DatasetInvalid("labels must be 0 (without the category) or 1 (with it)")


def statistics_to_tensors(statistics: DisclosedStatistics) -> dict[str, Tensor]:
    """Lay statistics out as named tensors, float32 but for the counts, which are int32 (1,).

    The names are `0.mean`, `0.covariance`, `0.sample_count` (level `pca`: also `0.mean_map`, `0.directions`,
    `0.residual`), the same with `1.`, and `epsilon` and `delta`, both (1,).
    """
    tensors: dict[str, Tensor] = {
        "epsilon": torch.tensor([statistics.epsilon]),
        "delta": torch.tensor([statistics.delta]),
    }
    for label, one in enumerate(statistics.classes):
        parts = {
            "mean": one.mean_C,
            "covariance": one.covariance_CC,
            "sample_count": torch.tensor([one.sample_count], dtype=torch.int32),
            "mean_map": one.mean_map_CHW,
            "directions": one.directions_KCHW,
            "residual": one.residual_C,
        }
        tensors |= {f"{label}.{name}": part.contiguous() for name, part in parts.items() if part is not None}
    return tensors


def statistics_from_tensors(
    tensors: Mapping[str, Tensor], level: Disclosure, seam: Seam
) -> DisclosedStatistics:
    """Read what `statistics_to_tensors` laid out, believing nothing.

    Raises:
        PayloadMalformed: if names, types or shapes are not those of this level at this seam, a count is under
            the minimum, a covariance is not one, or figures contradict each other.
        TensorNotFinite: if a figure is NaN, infinite or absurdly large.
    """
    if level not in (Disclosure.MOMENTS, Disclosure.PCA):
        raise PayloadMalformed(f"level {level} has no class statistics; send moments or pca")
    parts = _MOMENTS + _PCA if level is Disclosure.PCA else _MOMENTS
    expected = {f"{label}.{part}" for label in range(2) for part in parts} | {"epsilon", "delta"}
    if set(tensors) != expected:
        wrong = ", ".join(sorted(expected ^ set(tensors))[:6])
        raise PayloadMalformed(f"statistics of level {level} lack tensors or hold strange ones: {wrong}")
    for name, tensor in tensors.items():
        dtype = torch.int32 if name.endswith("sample_count") else torch.float32
        if tensor.dtype != dtype:
            raise PayloadMalformed(f"{name} is {tensor.dtype}; it must be {dtype}")
        if dtype is torch.float32 and not bool((tensor.abs() <= _LARGEST).all()):
            raise TensorNotFinite(f"{name} must be finite and within +-{_LARGEST:g}")
    _check_shape(tensors, "epsilon", (1,))
    _check_shape(tensors, "delta", (1,))
    epsilon, delta = float(tensors["epsilon"]), float(tensors["delta"])
    if epsilon < 0 or not 0 <= delta < 1 or (epsilon == 0) != (delta == 0):
        raise PayloadMalformed(
            f"({epsilon}, {delta}) is not an (epsilon, delta): both 0, or > 0 and in (0, 1)"
        )
    without, with_category = (_read_class(tensors, label, level, seam) for label in range(2))
    return DisclosedStatistics(level, (without, with_category), epsilon, delta)


def _read_class(tensors: Mapping[str, Tensor], label: int, level: Disclosure, seam: Seam) -> ClassStatistics:
    channels = seam.channels
    mean_C = _check_shape(tensors, f"{label}.mean", (channels,))
    covariance_CC = _check_shape(tensors, f"{label}.covariance", (channels, channels))
    count = int(_check_shape(tensors, f"{label}.sample_count", (1,)))
    if count < MINIMUM_SAMPLES:
        raise PayloadMalformed(
            f"{label}.sample_count is {count}: statistics are of {MINIMUM_SAMPLES} or more"
        )
    scale = max(float(covariance_CC.diagonal().abs().max()), 1e-12)
    wide_CC = covariance_CC.to(torch.float64)
    if float((wide_CC - wide_CC.T).abs().max()) > _ROUNDED * scale:
        raise PayloadMalformed(f"{label}.covariance is not symmetric")
    if float(torch.linalg.eigvalsh(wide_CC)[0]) < -_ROUNDED * channels * scale:
        raise PayloadMalformed(f"{label}.covariance is not positive semidefinite")
    one = ClassStatistics(count, mean_C, covariance_CC)
    if level is Disclosure.MOMENTS:
        return one
    shape = (channels, seam.height, seam.width)
    directions = tensors[f"{label}.directions"]
    kept = directions.shape[0] if directions.dim() else 0
    if not 1 <= kept <= MAXIMUM_DIRECTIONS:
        raise PayloadMalformed(f"{label}.directions holds {kept}; 1 to {MAXIMUM_DIRECTIONS} are taken")
    one = ClassStatistics(
        count,
        mean_C,
        covariance_CC,
        _check_shape(tensors, f"{label}.mean_map", shape),
        _check_shape(tensors, f"{label}.directions", (kept, *shape)),
        _check_shape(tensors, f"{label}.residual", (channels,)),
    )
    _check_told_twice(one, label, scale)
    return one


def _check_told_twice(one: ClassStatistics, label: int, scale: float) -> None:
    """Check that mean map, directions and residual have the mean and the variance of the moments."""
    if one.mean_map_CHW is None or one.directions_KCHW is None or one.residual_C is None:
        raise PayloadMalformed(f"class {label} lacks its mean map, its directions or its residual")
    if bool((one.residual_C < 0).any()):
        raise PayloadMalformed(f"{label}.residual holds a negative variance")
    mean_map_CHW = one.mean_map_CHW.to(torch.float64)
    told_C = one.directions_KCHW.to(torch.float64).square().sum(0).mean((1, 2)) + one.residual_C
    variance_C = mean_map_CHW.var((1, 2), correction=0) + told_C
    apart = float((mean_map_CHW.mean((1, 2)) - one.mean_C).abs().max())
    if apart > _AGREEMENT * max(scale**0.5, float(one.mean_C.abs().max())):
        raise PayloadMalformed(f"{label}.mean_map has another mean than {label}.mean")
    if float((variance_C - one.covariance_CC.diagonal()).abs().max()) > _AGREEMENT * scale:
        raise PayloadMalformed(f"{label}.directions and {label}.residual do not add up to {label}.covariance")


def _check_shape(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    tensor = tensors[name]
    if tuple(tensor.shape) != shape:
        raise PayloadMalformed(f"{name} has the shape {tuple(tensor.shape)}; at this seam it must be {shape}")
    return tensor
