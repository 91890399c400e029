"""What tests of the merge loop start from, and those of admission."""

from __future__ import annotations

import pytest
from fakes.real_center import real_center
from fakes.shut_door import Door
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


@pytest.fixture
def door():
    return Door()


@pytest.fixture
def center(tmp_path, door):
    """A center whose examiner waits for the door, where a module has no center of its own."""
    with real_center(tmp_path / "center", examiner=door) as running:
        yield running
