"""Who holds which pictures, as places in a pool: pure functions of labels, shares and a generator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

_REDRAWN_AT_MOST = 1000


def sizes_of(count: int, sites: int, skew: float | None, generator: np.random.Generator) -> list[int]:
    """Return how many of `count` pictures each of `sites` holds, at least one each.

    Args:
        count: pictures in all.
        sites: who share them.
        skew: concentration of a Dirichlet distribution that the shares are drawn from (Li et al. 2022,
            "Federated Learning on Non-IID Data Silos", quantity skew): the lower, the more unequal. None:
            equal shares.
        generator: of the draw.

    Raises:
        InvalidSettings: if there are fewer pictures than sites.
    """
    if count < sites:
        raise InvalidSettings(f"{count} pictures cannot be shared among {sites} sites: take more --images")
    shares = np.full(sites, 1 / sites) if skew is None else generator.dirichlet(np.full(sites, skew))
    return [1 + size for size in _whole(shares, count - sites)]


def dirichlet_parts(
    labels: np.ndarray,
    sites: int,
    alpha: float,
    skew: float | None,
    least: int,
    generator: np.random.Generator,
) -> list[np.ndarray]:
    """Share pictures out such that each category lies at the sites in proportions drawn from Dir(alpha).

    The usual partition of federated benchmarks (Hsu et al. 2019; Yurochkin et al. 2019): for each category
    one draw over the sites. With a skew the draws are weighted by one more, which makes some sites large.
    It is drawn again until every site holds `least` pictures, because a site without data is none.

    Args:
        labels: category of each picture, int (N,).
        sites: how many.
        alpha: concentration; the lower, the fewer categories a site holds.
        skew: see `sizes_of`.
        least: pictures that every site has.
        generator: of all draws.

    Returns:
        Places of pictures, one array a site, in random order; every picture is at exactly one site.

    Raises:
        InvalidSettings: if no draw gives every site so many.
    """
    for _ in range(_REDRAWN_AT_MOST):
        weights = np.ones(sites) if skew is None else sites * generator.dirichlet(np.full(sites, skew))
        parts: list[list[np.ndarray]] = [[] for _ in range(sites)]
        for label in np.unique(labels):
            places = generator.permutation(np.flatnonzero(labels == label))
            shares = generator.dirichlet(np.full(sites, alpha)) * weights
            if shares.sum() > 0:
                cuts = np.cumsum(_whole(shares / shares.sum(), len(places)))[:-1]
                for part, piece in zip(parts, np.split(places, cuts), strict=True):
                    part.append(piece)
        held = [np.concatenate(part) for part in parts if part]
        if len(held) == sites and min(map(len, held)) >= least:
            return [generator.permutation(part) for part in held]
    raise InvalidSettings(
        f"no partition of {len(labels)} pictures by alpha {alpha} gives each of {sites} sites {least}: take "
        "fewer --sites, more --images or a larger --alpha"
    )


def _whole(shares: Sequence[float] | np.ndarray, count: int) -> list[int]:
    """Return whole numbers in these proportions that sum to `count` (largest remainders)."""
    exact = np.asarray(shares, np.float64) * count
    sizes = np.floor(exact).astype(np.int64)
    rest = np.argsort(-(exact - sizes), kind="stable")[: count - int(sizes.sum())]
    sizes[rest] += 1
    return [int(size) for size in sizes]
