"""What tests of the merge loop start from."""

from __future__ import annotations

import pytest
from fakes.turned_center import World


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.registry.close()


@pytest.fixture
def founded(world):
    world.bring("dog", 1)
    world.rounds()
    assert world.newest().number == 1
    return world
