"""Class statistics as named tensors: laid out by a site, and read by a center that believes nothing.

Shape suffixes: C channels, H and W places of the seam, G G the grid of factors, K and L their ranks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from transplant.datafree.feature_statistics import MAXIMUM_DIRECTIONS, MINIMUM_SAMPLES
from transplant.datafree.kronecker_factors import grid_of
from transplant.errors import PayloadMalformed, TensorNotFinite
from transplant.nets.disclosures import ClassStatistics, DisclosedStatistics, KroneckerFactors
from transplant.types import Disclosure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from transplant.types import Seam

_ROUNDED = 1e-5  # what float32 may do to a figure, relative to the largest variance
_AGREEMENT = 1e-3  # of figures that are told twice
_LARGEST = 1e6  # as for weights: a larger figure is broken or hostile
_MOMENTS = ("mean", "covariance", "sample_count")
_PCA = ("mean_map", "directions", "residual")
_KRONECKER = ("mean_grid", "channel_factor", "spatial_factor")


def statistics_to_tensors(statistics: DisclosedStatistics) -> dict[str, Tensor]:
    """Lay statistics out as named tensors, float32 but for the counts, which are int32 (1,).

    The names are `0.mean`, `0.covariance`, `0.sample_count`, the same with `1.`, and `epsilon` and `delta`,
    both (1,). At level `pca` there are also `0.mean_map`, `0.directions` and `0.residual`, or, of large maps,
    in their place `0.mean_grid`, `0.channel_factor` and `0.spatial_factor`.
    """
    tensors: dict[str, Tensor] = {
        "epsilon": torch.tensor([statistics.epsilon]),
        "delta": torch.tensor([statistics.delta]),
    }
    for label, one in enumerate(statistics.classes):
        factors = one.kronecker
        parts = {
            "mean": one.mean_C,
            "covariance": one.covariance_CC,
            "sample_count": torch.tensor([one.sample_count], dtype=torch.int32),
            "mean_map": one.mean_map_CHW,
            "directions": one.directions_KCHW,
            "residual": one.residual_C,
            "mean_grid": None if factors is None else factors.mean_CGG,
            "channel_factor": None if factors is None else factors.channel_CK,
            "spatial_factor": None if factors is None else factors.spatial_LGG,
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
    structure = _KRONECKER if f"0.{_KRONECKER[0]}" in tensors else _PCA
    parts = _MOMENTS + structure if level is Disclosure.PCA else _MOMENTS
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
    if f"{label}.{_KRONECKER[0]}" in tensors:
        one = replace(one, kronecker=_read_factors(tensors, label, seam))
        _check_factors(one, label, scale)
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


def _read_factors(tensors: Mapping[str, Tensor], label: int, seam: Seam) -> KroneckerFactors:
    channel, spatial = tensors[f"{label}.channel_factor"], tensors[f"{label}.spatial_factor"]
    grid = grid_of(seam.height, seam.width)
    most = min(MAXIMUM_DIRECTIONS, max(seam.channels, grid[0] * grid[1]))
    ranks = [channel.shape[-1] if channel.dim() else 0, spatial.shape[0] if spatial.dim() else 0]
    rank = max(ranks)
    if not 1 <= min(ranks) <= rank <= most:
        raise PayloadMalformed(f"class {label} has factors of rank {ranks}; 1 to {most} are taken")
    return KroneckerFactors(
        _check_shape(tensors, f"{label}.mean_grid", (seam.channels, *grid)),
        _check_shape(tensors, f"{label}.channel_factor", (seam.channels, min(rank, seam.channels))),
        _check_shape(tensors, f"{label}.spatial_factor", (min(rank, grid[0] * grid[1]), *grid)),
    )


def _check_factors(one: ClassStatistics, label: int, scale: float) -> None:
    """Check that mean grid and factors have the mean of the moments, and no more than their variance."""
    factors = one.kronecker
    if factors is None:
        raise PayloadMalformed(f"class {label} lacks its factors")
    mean_CGG = factors.mean_CGG.to(torch.float64)
    apart = float((mean_CGG.mean((1, 2)) - one.mean_C).abs().max())
    if apart > _AGREEMENT * max(scale**0.5, float(one.mean_C.abs().max())):
        raise PayloadMalformed(f"{label}.mean_grid has another mean than {label}.mean")
    share = float(factors.spatial_LGG.to(torch.float64).square().sum(0).mean())
    if share > 1 + _AGREEMENT:
        raise PayloadMalformed(f"{label}.spatial_factor tells {share:.3g} of the variance; 1 is all of it")
    told_C = mean_CGG.var((1, 2), correction=0) + share * factors.channel_CK.to(torch.float64).square().sum(1)
    if bool((told_C - one.covariance_CC.diagonal() > _AGREEMENT * scale).any()):
        raise PayloadMalformed(f"{label}.channel_factor tells more variance than {label}.covariance holds")


def _check_shape(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    tensor = tensors[name]
    if tuple(tensor.shape) != shape:
        raise PayloadMalformed(f"{name} has the shape {tuple(tensor.shape)}; at this seam it must be {shape}")
    return tensor
