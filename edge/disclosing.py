"""What a site tells beside the weights of f: its policy, and the aggregates that the policy allows.

With a Gaussian mechanism nothing exact is told: the small figures in f's manifest are then those that the
noisy statistics imply, and the noise is drawn from the operating system's entropy, once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from edge.teach.statistics import disclose, implied_figures
from transplant.artifact.encoding import Encoding
from transplant.datafree.feature_statistics import collect_statistics
from transplant.datafree.privacy import gaussian_mechanism
from transplant.nets.placement import CPU, placed
from transplant.types import Disclosure

if TYPE_CHECKING:
    import torch
    from torch import nn

    from edge.datasets.site_dataset import SiteDataset
    from transplant.artifact.manifest import FeatureStatistics
    from transplant.nets.disclosures import DisclosedStatistics
    from transplant.types import Seam

_BATCH = 256


class Ship(StrEnum):
    """What of a task module leaves the site: its weights, or its answers to synthetic images."""

    MODULES = "modules"
    OUTPUTS = "outputs"


@dataclass(frozen=True)
class Noise:
    """The Gaussian mechanism; see `transplant.datafree.privacy`."""

    epsilon: float
    delta: float
    clip_norm: float


@dataclass(frozen=True)
class Policy:
    """What a site tells: how much about its features, how exactly, and whether its task modules leave it.

    `encoding` is how the weights of those modules that leave it are written; `lend` is the licence of use:
    whether other sites may learn their own nets from them.
    """

    level: Disclosure = Disclosure.NONE
    directions: int = 32
    noise: Noise | None = None
    ship: Ship = Ship.MODULES
    encoding: Encoding = Encoding.F32
    lend: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; what is not the default only, so that older documents mean the same."""
        default = asdict(Policy())
        return {name: value for name, value in asdict(self).items() if value != default[name]}


def told_about_features(
    category_module: nn.Module,
    train: SiteDataset,
    seam: Seam,
    policy: Policy,
    device: torch.device = CPU,
) -> tuple[FeatureStatistics, DisclosedStatistics | None]:
    """Return what f's manifest says about x = f(I), and the statistics that travel beside it.

    Args:
        category_module: f, in evaluation mode.
        train: the site's training data; only aggregates of it come out.
        seam: the shape of x.
        policy: how much to tell.
        device: what f runs on.

    Raises:
        DatasetInvalid: if the data are too few for the level, or for so many directions.
        InvalidSettings: if the mechanism's parameters are out of range.
    """
    images = train.images.split(_BATCH)
    category_module = placed(category_module, device)
    if policy.level in (Disclosure.NONE, Disclosure.SCALE):
        return disclose(category_module, images, policy.level), None
    noise = policy.noise
    statistics = collect_statistics(
        category_module,
        zip(images, train.labels.split(_BATCH), strict=True),
        policy.level,
        directions=policy.directions,
        clip_norm=None if noise is None else noise.clip_norm,
    )
    if noise is None:
        return disclose(category_module, images, policy.level), statistics
    noisy = gaussian_mechanism(statistics, noise.epsilon, noise.delta, noise.clip_norm)
    return implied_figures(noisy, seam), noisy
