"""Ray on several machines: a node that dies mid-merge, a center that dies and finds its merges running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from fakes.engine import ready
from fakes.turned_center import World, accept
from fakes.waiting import wait

from central.runners.ray import RayEngine
from transplant.types import Task

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(240)]

EVERY = 25
LONG = {"steps": 500, "batch": 8, "checkpoint_every": EVERY, "synthetic_images": 64, "candidates": 1}
BOTH = (Task.CLASSIFICATION, Task.SEGMENTATION)

# Ray is kept out of this process, as everywhere: it takes over the settings of whoever imports it.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
second = cluster.add_node(num_cpus=1)
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(second, allow_graceful=False)
    print("removed", flush=True)
cluster.shutdown()
"""


class TwoNodes:
    """A cluster in a process of its own."""

    def __init__(self, environment):
        self._process = subprocess.Popen(
            [sys.executable, "-c", CLUSTER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=environment,
        )  # fmt: skip
        self.address = self._answer(lambda line: ":" in line and " " not in line)

    def kill_second(self):
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._answer(lambda line: line == "removed")

    def close(self):
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def _answer(self, is_it):
        for line in self._process.stdout:
            if is_it(line.strip()):
                return line.strip()
        raise AssertionError("the cluster said nothing")


@pytest.fixture
def cluster(monkeypatch):
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    nodes = TwoNodes({**os.environ, "RAY_USAGE_STATS_ENABLED": "0"})
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    yield nodes
    nodes.close()


@contextmanager
def founded(home, engine=None):
    world = World(home, **LONG)
    if engine is not None:
        world.engine = engine
        world.revive()
    world.bring("dog", 1, BOTH)
    world.rounds()
    world.bring("cat", 2, BOTH)
    try:
        yield world
    finally:
        world.engine.close()
        world.registry.close()


def undisturbed(home):
    with founded(home) as world:
        world.rounds(2)
        world.engine.finish()
        world.rounds()
        accept(world, "cat")
        world.rounds()
        return adapters(world)


def adapters(world):
    return {(route.category, route.task): route.adapter for route in world.newest().routes}


def benches(world):
    return [world.center.workshop.bench(status.merge_key) for status in world.merges("cat")]


def events(world, key):
    with world.registry.read() as books:
        return [step.event for step in books.merges.transitions(key)]


def learn_to_the_end(world):
    """Turn the loop until everything is published; return the least step that a worker told meanwhile."""
    least = []

    def over():
        world.loop.tick()
        told = [bench.progress() for bench in benches(world)]
        least.extend(progress.step for progress in told if progress.total_steps)
        accept(world, "cat")
        return len(world.newest().routes) == 4

    wait(over, timeout_s=150)
    return min(least)


def test_a_merge_whose_node_dies_goes_on_elsewhere_from_its_checkpoint(cluster, tmp_path):
    with founded(tmp_path / "hurt", RayEngine(2, "nodes")) as world:
        keys = [status.merge_key for status in world.merges("cat")]

        def both_have_checkpoints():
            world.loop.tick()
            return all(bench.progress().step > EVERY and bench.checkpoint() for bench in benches(world))

        wait(both_have_checkpoints, timeout_s=90)
        cluster.kill_second()
        assert learn_to_the_end(world) >= EVERY
        told = [events(world, key) for key in keys]
        assert max(each.count("EngineReady") for each in told) == 2, "a node died under one of them"
        assert all(each.count("VersionPublished") == 1 for each in told)
        assert adapters(world) == undisturbed(tmp_path / "calm")


def test_a_center_that_is_killed_finds_its_merges_running(cluster, tmp_path):
    del cluster
    with founded(tmp_path / "hurt", RayEngine(2, "finds")) as world:

        def both_learn():
            world.loop.tick()
            return all(bench.progress().step > 1 for bench in benches(world))

        wait(both_learn, timeout_s=90)
        before = {bench.folder: bench.progress().step for bench in benches(world)}
        os.kill(world.engine._driver.pid, signal.SIGKILL)  # what a kill -9 of the center does to it
        wait(lambda: world.engine._driver is None or not ready(world.engine))
        world.engine.close()
        world.engine = RayEngine(2, "finds")
        world.revive()
        keys = {status.merge_key for status in world.merges("cat")}
        wait(lambda: world.loop.tick() and world.engine.running() == keys, timeout_s=60)
        least = learn_to_the_end(world)
        assert least >= min(before.values()), "who begins anew, or at a checkpoint, tells earlier steps"
        assert all(events(world, key).count("VersionPublished") == 1 for key in keys)
        assert adapters(world) == undisturbed(tmp_path / "calm")
