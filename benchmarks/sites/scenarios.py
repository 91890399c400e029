"""The scenarios: pure functions of (scenario, data, sites, seed, flags) that give a federation.

| scenario | a site holds | it knows |
|---|---|---|
| one-category | pictures of its own category, and as many random others | which show its category, no more |
| joining | the same, one site a category; categories join one by one | the same |
| scale | the same, many sites a category | the same |
| dirichlet | of each category a share drawn from Dir(alpha) | all labels |

The random others of a site are drawn from all other categories of the data set, those without a site among
them: they are the paper's "random images". One of them may lie at another site as well.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.sites.federation import OTHER, Federation, LocalData
from benchmarks.sites.partition import dirichlet_parts, sizes_of
from benchmarks.sites.scenarios_data import Pool, categories_of, pool_of
from transplant.artifact.digest import canonical_json, derive_seed, sha256_hex
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path

LEAST_AT_A_SITE = 8
"""Pictures that every site of a Dirichlet partition holds at least."""


class Scenario(StrEnum):
    """How pictures lie at sites."""

    ONE_CATEGORY = "one-category"
    DIRICHLET = "dirichlet"
    JOINING = "joining"
    SCALE = "scale"


@dataclass(frozen=True)
class ScenarioFlags:
    """Everything that a federation is a function of, besides the files of the data packs.

    Args:
        scenario: how pictures lie at sites.
        data: which pictures.
        sites: how many.
        seed: of every draw.
        categories: how many of the data set's categories take part, in its order; None: all, but in
            `one-category` and `joining` no more than sites.
        images: of `dirichlet` pictures of a category over all sites, else of a site's own category (it has
            as many others); None: all that there are.
        alpha: of `dirichlet`.
        skew: concentration of unequal sizes; None: equal ones.
        test: test pictures of a category.
        public: unlabelled pictures that the center of a method may have.
    """

    scenario: Scenario
    data: str
    sites: int
    seed: int
    categories: int | None = None
    images: int | None = None
    alpha: float | None = None
    skew: float | None = None
    test: int = 200
    public: int = 0

    def __post_init__(self) -> None:
        least = {"sites": 2, "categories": 2, "images": 2, "test": 1, "public": 0}
        for name, value in least.items():
            got = getattr(self, name)
            if got is not None and got < value:
                raise InvalidSettings(f"--{name} must be at least {value}; got {got}")
        for name in ("alpha", "skew"):
            got = getattr(self, name)
            if got is not None and not got > 0:
                raise InvalidSettings(f"--{name} must be over 0; got {got}")
        if (self.alpha is not None) != (self.scenario is Scenario.DIRICHLET):
            raise InvalidSettings(
                "--alpha belongs to the scenario dirichlet, which needs it, and to no other"
            )

    @property
    def digest(self) -> str:
        """Return a name of the federation."""
        values: dict[str, Any] = asdict(self) | {"scenario": self.scenario.value}
        return sha256_hex(canonical_json(values))[:20]


def federation_of(flags: ScenarioFlags, root: Path | None) -> Federation:
    """Return the federation that flags describe.

    Args:
        flags: all choices.
        root: folder of the data packs; scenes need none.

    Raises:
        InvalidSettings: if there are not so many categories, or pictures for so many sites.
        DatasetNotFound: if a pack is not there.
    """
    names = categories_in_play(flags, root)
    holders = -(-flags.sites // len(names))  # sites of the categories that have most
    each = flags.images
    if each is not None and flags.scenario is not Scenario.DIRICHLET:
        each *= holders
    pool = pool_of(
        flags.data, root, names, each=each, test_each=flags.test, public=flags.public, seed=flags.seed
    )
    generator = np.random.default_rng(derive_seed("federation", flags.scenario, str(flags.seed)))
    split = _by_share if flags.scenario is Scenario.DIRICHLET else _by_category
    return Federation(
        scenario=flags.scenario.value,
        categories=pool.categories,
        sites=split(pool, flags, generator),
        test=LocalData(pool.test_images, pool.test_labels, tuple(range(len(names)))),
        image_px=pool.image_px,
        seed=flags.seed,
        unlabelled=pool.unlabelled,
    )


def first_categories(federation: Federation, count: int) -> Federation:
    """Return the federation of the first `count` categories: their sites alone, and their test pictures.

    What a site holds does not change: pictures of a category that is not there yet are OTHER to it anyway.
    """
    sites = tuple(site for site in federation.sites if max(site.known) < count)
    shown = federation.test.labels < count
    test = LocalData(federation.test.images[shown], federation.test.labels[shown], tuple(range(count)))
    return Federation(
        federation.scenario,
        federation.categories[:count],
        sites,
        test,
        federation.image_px,
        federation.seed,
        federation.unlabelled,
    )


def categories_in_play(flags: ScenarioFlags, root: Path | None) -> tuple[str, ...]:
    """Return the categories that take part in a federation.

    Raises:
        InvalidSettings: if there are not so many, or not a site for each where that is needed.
        DatasetNotFound: if the pack is not there.
    """
    there = categories_of(flags.data, root)
    one_each = flags.scenario in (Scenario.ONE_CATEGORY, Scenario.JOINING, Scenario.SCALE)
    wanted = flags.categories or (min(len(there), flags.sites) if one_each else len(there))
    if wanted > len(there):
        raise InvalidSettings(f"{flags.data} has {len(there)} categories, not {wanted}")
    if one_each and wanted > flags.sites:
        raise InvalidSettings(f"{flags.sites} sites cannot hold {wanted} categories: take more --sites")
    if flags.scenario is Scenario.JOINING and wanted != flags.sites:
        raise InvalidSettings(
            f"in the scenario joining one site brings one category: {flags.data} gives {wanted} categories "
            f"for {flags.sites} sites; set --sites {wanted}"
        )
    return there[:wanted]


def _by_category(pool: Pool, flags: ScenarioFlags, generator: np.random.Generator) -> tuple[LocalData, ...]:
    """Site i holds category i mod K, and as many random others."""
    labels, shown = pool.labels.numpy(), pool.shown.numpy()
    own: dict[int, np.ndarray] = {}
    for category in range(len(pool.categories)):
        holders = range(category, flags.sites, len(pool.categories))
        places = generator.permutation(np.flatnonzero(labels == category))
        if flags.images is not None:
            places = places[: flags.images * len(holders)]
        cuts = np.cumsum(sizes_of(len(places), len(holders), flags.skew, generator))[:-1]
        own |= dict(zip(holders, np.split(places, cuts), strict=True))
    sites: list[LocalData] = []
    for site in range(flags.sites):
        category = site % len(pool.categories)
        mine = own[site]
        foreign = np.flatnonzero(shown != shown[mine[0]])
        others = generator.choice(foreign, min(len(mine), len(foreign)), replace=False)
        places = generator.permutation(np.concatenate([mine, others]))
        told = np.where(labels[places] == category, category, OTHER)
        sites.append(LocalData(pool.images[places], torch.from_numpy(told), (category,)))
    return tuple(sites)


def _by_share(pool: Pool, flags: ScenarioFlags, generator: np.random.Generator) -> tuple[LocalData, ...]:
    """Every site knows all labels; the categories lie at the sites in drawn proportions."""
    known = tuple(range(len(pool.categories)))
    taking_part = np.flatnonzero(pool.labels.numpy() != OTHER)
    parts = dirichlet_parts(
        pool.labels.numpy()[taking_part],
        flags.sites,
        flags.alpha or 1.0,
        flags.skew,
        LEAST_AT_A_SITE,
        generator,
    )
    places = [taking_part[part] for part in parts]
    return tuple(LocalData(pool.images[each], pool.labels[each], known) for each in places)
