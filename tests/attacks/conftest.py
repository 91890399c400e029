"""Centers to attack: one with tiny limits and a clock that stands still, one with a hostile site."""

from __future__ import annotations

import pytest
from fakes.held_center import callers_of, held_center
from fakes.hostile_site import hostile_site


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    with held_center(tmp_path_factory.mktemp("center")) as made:
        yield made


@pytest.fixture
def callers(held):
    with callers_of(*held) as made:
        yield made


@pytest.fixture(scope="module")
def attacker(tmp_path_factory):
    with hostile_site(tmp_path_factory.mktemp("center")) as site:
        yield site
