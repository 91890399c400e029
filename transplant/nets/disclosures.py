"""What a site tells beside weights, as plain values: aggregate feature statistics, and answers to a probe.

Both are tensors with a fixed layout, so that they travel as any module does. Collecting them is the
site's work, sampling from them the center's; this file knows neither.

Shape suffixes: C channels, H and W places of the seam, K principal directions, N probe images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from transplant.types import Disclosure, Task


@dataclass(frozen=True)
class KroneckerFactors:
    """The structure of large maps: y = m + A Z B^T of their means over the cells of a grid.

    See `transplant.datafree.kronecker_factors`. Shape suffixes: G G the grid, K and L the factors' ranks.

    Attributes:
        mean_CGG: m, the mean of every cell.
        channel_CK: A, in the unit of x.
        spatial_LGG: B^T; its sum of squares over L has a mean over the cells of at most 1.
    """

    mean_CGG: Tensor
    channel_CK: Tensor
    spatial_LGG: Tensor


@dataclass(frozen=True)
class ClassStatistics:
    """Aggregates of x = f(I) over the images of one class.

    Level `pca` has either mean map, directions and residual, or `kronecker` in place of the three.

    Attributes:
        sample_count: how many images were aggregated.
        mean_C: mean of every channel over images and places, float32.
        covariance_CC: covariance of the channels over images and places, float32.
        mean_map_CHW: mean of x.
        directions_KCHW: principal directions of x, each times the deviation along it.
        residual_C: variance of every channel that the K directions leave.
        kronecker: the structure of maps that are too large for directions.
    """

    sample_count: int
    mean_C: Tensor
    covariance_CC: Tensor
    mean_map_CHW: Tensor | None = None
    directions_KCHW: Tensor | None = None
    residual_C: Tensor | None = None
    kronecker: KroneckerFactors | None = None


@dataclass(frozen=True)
class DisclosedStatistics:
    """Statistics of both classes, without (0) and with (1) the category; level `moments` or `pca`.

    `epsilon` and `delta` say which Gaussian mechanism was applied; 0 means none. `clip_norm` is the norm that
    features were clipped to for it; 0 where earlier releases did not tell.
    """

    level: Disclosure
    classes: tuple[ClassStatistics, ClassStatistics]
    epsilon: float = 0.0
    delta: float = 0.0
    clip_norm: float = 0.0


@dataclass(frozen=True)
class ProbeRequest:
    """Which synthetic images a site is asked about: anybody can make the very same ones.

    Of up to `pool` procedural images (generator, seed, size, share of drawings) the site answers `count`:
    those that it chooses so that its teacher's whole range is covered, all where `pool` equals `count`.
    Segmentation is answered on a `grid` x `grid` mean of the logits.
    """

    generator: str
    seed: int
    pool: int
    count: int
    image_px: int
    drawings_percent: int
    grid: int
    task: Task


@dataclass(frozen=True)
class ProbeAnswers:
    """g_T's answers to a probe: codes of 8 bits on a line from `low` to `high`.

    Attributes:
        request: what was asked.
        chosen_N: int32, strictly rising places in the pool.
        codes: uint8 (N,) for classification, (N, grid, grid) for segmentation.
        low: the logit of code 0.
        high: the logit of code 255.
    """

    request: ProbeRequest
    chosen_N: Tensor
    codes: Tensor
    low: float
    high: float
