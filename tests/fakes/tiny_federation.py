"""A federation of three categories that are told apart by the colour of a square, and an engine for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.sites.engine import SiteReply, Traffic
from benchmarks.sites.federation import OTHER, Federation, LocalData
from fakes.tiny_data import square_pictures
from fakes.tiny_nets import SMALL
from transplant.artifact.digest import derive_seed
from transplant.nets.architecture_table import DEFAULT

if TYPE_CHECKING:
    import pytest

ARCH = "vgg_small"
CATEGORIES = ("red", "green", "blue")


def with_small_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the table's default be so small that a site trains it in a second."""
    monkeypatch.setitem(DEFAULT, ARCH, SMALL)


def squares(count: int, seed: int, categories=(0, 1, 2), known=(0, 1, 2)) -> LocalData:
    """Return pictures of bright squares, as many of each category; those not known are OTHER."""
    each = -(-count // len(categories))
    parts = [square_pictures(2 * each, 10 * seed + colour, colour)[0][1::2] for colour in categories]
    labels = np.repeat([colour if colour in known else OTHER for colour in categories], each)
    order = np.random.default_rng(seed).permutation(len(labels))[:count]
    images = np.concatenate(parts).transpose(0, 3, 1, 2)[order]
    return LocalData(
        torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels[order]), tuple(known)
    )


def federation(own_only: bool = False, count: int = 32) -> Federation:
    """Return three sites: each with all labels of mostly two categories, or each with one category alone."""
    if own_only:
        sites = tuple(squares(count, site, known=(site,)) for site in range(3))
    else:
        pairs = ((0, 1), (1, 2), (2, 0))
        sites = tuple(squares(count, site, categories=pairs[site]) for site in range(3))
    public = squares(48, 8).images
    return Federation("tiny", CATEGORIES, sites, squares(60, 9), 32, 0, public)


class DirectEngine:
    """Implements `Engine` by calling the work; the sites in `away` never answer."""

    late_until = 1

    def __init__(self, told: Federation, away=()) -> None:
        self._sites = told.sites
        self._away = frozenset(away)
        self.traffic = Traffic()
        self.site_seconds = 0.0
        self.settings = []

    def ask(self, work, sites, sent, settings):
        number = self.traffic.rounds
        self.traffic = Traffic(rounds=number + 1)
        self.settings.append(dict(settings))
        replies: dict[int, SiteReply] = {}
        for site in sites:
            if site not in self._away:
                seed = derive_seed(str(settings.get("seed", 0)), str(site), str(number))
                replies[site] = work(self._sites[site], sent, dict(settings) | {"seed": seed})
        return replies
