"""The same plan on a real local Ray: same bytes, and a Ray that dies takes nobody with it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest
from fakes.engine import ready
from fakes.real_center import real_center
from fakes.waiting import wait
from test_central_merge import both_made, settle, versions

from central.runners.engine import Lost
from central.runners.ray import RayEngine
from transplant.errors import MergeEngineUnavailable
from transplant.types import MergeState

GROWN = {"founder": "dog", "steps": 30}


def adapters(home, **overrides):
    with real_center(home, **GROWN, **overrides) as center:
        both_made(center)
        center.bring("dog", seed=2)
        center.bring("cat", seed=1)
        settle(center.client("site-cat"), "cat", timeout_s=90)
        return {route.adapter for route in versions(center.client("site-cat"), 3)[-1].routes}


@pytest.mark.slow
@pytest.mark.alone
def test_ray_and_threads_learn_the_same_adapters_through_the_death_of_a_driver(tmp_path):
    local = adapters(tmp_path / "local", runner="local")
    with real_center(tmp_path / "ray", runner="ray", **GROWN) as center:
        both_made(center)
        center.bring("dog", seed=2)
        center.bring("cat", seed=1)
        client = center.client("site-cat")
        wait(lambda: any(m.state is MergeState.LEARNING for m in client.list_merges()), timeout_s=60)
        driver = center.serving._engine._driver
        os.kill(driver.pid, signal.SIGKILL)
        wait(lambda: center.serving._engine._driver not in (None, driver), timeout_s=60)  # a new one
        settle(client, "cat", timeout_s=90)
        assert {route.adapter for route in versions(client, 3)[-1].routes} == local


def test_a_ray_that_cannot_start_is_said_with_its_reason():
    code = "import json; print(json.dumps({'unavailable': 'ConnectionError: nobody at 10.0.0.1'}))"
    engine = RayEngine(1, command=(sys.executable, "-c", code))
    reasons = set()

    def said():
        try:
            engine.ensure_ready()
        except MergeEngineUnavailable as error:
            reasons.add(str(error))
        return any("nobody at 10.0.0.1" in reason for reason in reasons)

    wait(said)
    engine.close()


def test_a_driver_that_dies_loses_what_was_running():
    code = (
        "import json, sys; print(json.dumps({'ready': {}, 'running': []}), flush=True); "
        "sys.stdin.readline(); sys.exit(3)"
    )
    engine = RayEngine(1, command=(sys.executable, "-c", code))
    wait(lambda: ready(engine))

    class Order:
        merge_key = "k"

        def to_json(self) -> str:
            return "[]"

    engine.submit(Order())
    assert engine.running() == {"k"}
    endings = wait(engine.collect)
    assert [type(ending) for ending in endings] == [Lost]
    assert "code 3" in endings[0].reason
    assert not engine.running()
    assert not ready(engine)
    engine.close()


def test_closing_ends_the_driver():
    code = "import json, sys; print(json.dumps({'ready': {}, 'running': []}), flush=True); sys.stdin.read()"
    engine = RayEngine(1, command=(sys.executable, "-c", code))
    wait(lambda: ready(engine))
    driver = engine._driver
    began_s = time.monotonic()
    engine.close()
    assert driver.poll() == 0
    assert time.monotonic() - began_s < 10
    assert not any(thread.name == "ray-driver" for thread in threading.enumerate())
