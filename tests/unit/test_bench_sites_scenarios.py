"""Federations are functions of their flags: who holds what, what a site knows, and who comes when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.sites.federation import OTHER, Federation
from benchmarks.sites.partition import dirichlet_parts, sizes_of
from benchmarks.sites.scenarios import Scenario, ScenarioFlags, federation_of, first_categories
from benchmarks.sites.scenarios_attendance import Attendance, Presence
from transplant.errors import InvalidSettings

SMALL = ScenarioFlags(Scenario.ONE_CATEGORY, "scenes", sites=5, seed=0, categories=3, images=6, test=4)


@pytest.fixture(scope="module")
def federation() -> Federation:
    return federation_of(replace(SMALL, public=20), None)


def test_a_site_of_one_category_knows_that_one_and_holds_as_many_others(federation: Federation):
    assert federation.categories == ("digit-0", "digit-1", "digit-2")
    assert [site.known for site in federation.sites] == [(0,), (1,), (2,), (0,), (1,)]
    for site in federation.sites:
        assert site.images.dtype == torch.uint8
        assert site.images.shape[1:] == (3, 32, 32)
        assert set(site.labels.tolist()) == {site.known[0], OTHER}
        assert int((site.labels == OTHER).sum()) == int((site.labels == site.known[0]).sum()) == 6
    own = [site.images[site.labels == site.known[0]] for site in federation.sites]
    assert not any(torch.equal(one, another) for one in own[0] for another in own[3]), "shared, not copied"


def test_test_pictures_show_every_category_and_public_ones_are_nobodys(federation: Federation):
    assert torch.bincount(federation.test.labels).tolist() == [4, 4, 4]
    assert federation.unlabelled is not None
    assert len(federation.unlabelled) == 20
    held = torch.cat([site.images for site in federation.sites]).flatten(1)
    assert not any((held == picture.flatten()).all(dim=1).any() for picture in federation.unlabelled)


def test_the_same_flags_give_the_same_federation_and_another_seed_another(federation: Federation):
    again, other = federation_of(SMALL, None), federation_of(replace(SMALL, seed=1), None)
    for one, two, three in zip(federation.sites, again.sites, other.sites, strict=True):
        assert torch.equal(one.images, two.images)
        assert torch.equal(one.labels, two.labels)
        assert not torch.equal(one.images, three.images)
    assert SMALL.digest != replace(SMALL, seed=1).digest


def test_the_first_categories_are_a_federation_of_their_own(federation: Federation):
    two = first_categories(federation, 2)
    assert two.categories == ("digit-0", "digit-1")
    assert [site.known for site in two.sites] == [(0,), (1,), (0,), (1,)]
    assert set(two.test.labels.tolist()) == {0, 1}


def test_dirichlet_gives_every_picture_to_one_site_and_a_low_alpha_concentrates():
    labels = np.repeat(np.arange(5), 200)
    held: dict[float, float] = {}
    for alpha in (0.1, 100.0):
        parts = dirichlet_parts(labels, 4, alpha, None, 8, np.random.default_rng(3))
        assert sorted(np.concatenate(parts).tolist()) == list(range(1000))
        assert min(map(len, parts)) >= 8
        counts = np.array([np.bincount(labels[part], minlength=5) for part in parts])
        held[alpha] = float((counts.max(axis=0) / 200).mean())
    assert held[100.0] < 0.4 < held[0.1]


def test_a_federation_by_shares_knows_all_labels():
    flags = ScenarioFlags(
        Scenario.DIRICHLET, "scenes", sites=3, seed=0, categories=3, images=20, alpha=0.5, test=2
    )
    federation = federation_of(flags, None)
    assert sum(map(len, federation.sites)) == 60
    for site in federation.sites:
        assert site.known == (0, 1, 2)
        assert OTHER not in site.labels


def test_a_skew_makes_sizes_unequal_and_keeps_their_sum():
    generator = np.random.default_rng(0)
    assert sizes_of(10, 3, None, generator) == [4, 3, 3]
    skewed = sizes_of(300, 6, 0.2, generator)
    assert sum(skewed) == 300
    assert min(skewed) >= 1
    assert max(skewed) > 100


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sites": 1}, "--sites"),
        ({"alpha": 0.3}, "dirichlet"),
        ({"scenario": Scenario.DIRICHLET}, "dirichlet"),
        ({"skew": 0.0}, "--skew"),
    ],
)
def test_impossible_flags_are_named(change: dict[str, object], says: str):
    with pytest.raises(InvalidSettings, match=says):
        replace(SMALL, **change)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"data": "mnist"}, "cifar10, voc_mammals, tiny, scenes"),
        ({"data": "cifar10"}, "--data-root"),
        ({"categories": 11}, "10 categories"),
        ({"sites": 2}, "cannot hold 3"),
        ({"scenario": Scenario.JOINING}, "--sites 3"),
    ],
)
def test_a_federation_that_cannot_be_is_refused(change: dict[str, object], says: str):
    with pytest.raises(InvalidSettings, match=says):
        federation_of(replace(SMALL, **change), None)


def test_no_partition_is_an_error_and_not_a_hang():
    with pytest.raises(InvalidSettings, match="fewer --sites"):
        dirichlet_parts(np.zeros(10, np.int64), 4, 0.1, None, 8, np.random.default_rng(0))


def test_attendance_is_a_plan_and_not_a_coin():
    plan = Attendance(seed=1, dropout=0.3, stragglers=0.5, late=0.5, late_until=3)
    seen = [[plan.presence(site, number) for number in range(1, 9)] for site in range(100)]
    assert seen == [[plan.presence(site, number) for number in range(1, 9)] for site in range(100)]
    late = [row for row in seen if row[:2] == [Presence.AWAY] * 2]
    assert 40 <= len(late) <= 75
    away = sum(each is Presence.AWAY for row in seen for each in row[2:])
    assert 0.2 < away / 600 < 0.4
    assert any(Presence.TOO_LATE in row for row in seen)
    assert not all(Presence.TOO_LATE in row for row in seen), "who is quick is always quick"


def test_nobody_absent_means_everybody_there():
    assert {Attendance().presence(site, 1) for site in range(20)} == {Presence.HERE}
    with pytest.raises(InvalidSettings, match="--dropout"):
        Attendance(dropout=1.0)
    with pytest.raises(InvalidSettings, match="--late"):
        Attendance(late=1.5)


@pytest.mark.data
@pytest.mark.parametrize(("data", "categories"), [("cifar10", 10), ("tiny", 200), ("voc_mammals", 5)])
def test_packs_give_federations(data_root, data: str, categories: int):
    flags = ScenarioFlags(Scenario.SCALE, data, sites=categories, seed=0, images=2, test=2, public=4)
    federation = federation_of(flags, data_root)
    assert len(set(federation.categories)) == categories
    assert {len(site) for site in federation.sites} == {4}
    assert len(federation.test) == 2 * categories
    assert federation.unlabelled is not None
    assert federation.unlabelled.shape == (4, 3, federation.image_px, federation.image_px)
