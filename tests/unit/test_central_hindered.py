"""A worker that cannot leave its outcome for a reason that passes did not die: its merge is tried again."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from central.runners.engine import Died, Hindered
from central.runners.local import LocalEngine
from transplant.errors import MergeNotPossible, StorageFull


class Order:
    merge_key = "k"


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (StorageFull("no room left"), Hindered("k", "StorageFull: no room left")),
        (MergeNotPossible("never"), Died("k", "MergeNotPossible: never")),
        (ZeroDivisionError("by zero"), Died("k", "ZeroDivisionError: by zero")),
    ],
)
def test_a_thread_tells_a_full_disk_from_a_death(error, ending, monkeypatch, caplog):
    def failing(_order, _stopping):
        raise error

    monkeypatch.setattr("central.runners.local.execute", failing)
    engine, ended = LocalEngine(1), threading.Event()
    engine.tell(ended.set)
    engine.submit(Order())
    assert ended.wait(10)
    assert engine.collect() == (ending,)
    assert not engine.running()
    engine.close()
    assert any(record.exc_info for record in caplog.records) == isinstance(ending, Died)


_RAY = """
import asyncio
from ray.exceptions import RayTaskError
from central.runners.foreman import _ending
from transplant.errors import MergeNotPossible, StorageFull

async def failed(cause):
    raise RayTaskError("work", "Traceback ...", cause)

for cause in (StorageFull("no room left"), MergeNotPossible("never"), OSError("odd")):
    print(asyncio.run(_ending("k", failed(cause))))
"""


def test_so_does_a_ray_worker():
    """In a process of its own: once imported, Ray keeps the way in which it looks for its token."""
    told = subprocess.run([sys.executable, "-c", _RAY], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines() == [
        "{'hindered': 'k', 'reason': 'StorageFull: no room left'}",
        "{'died': 'k', 'reason': 'MergeNotPossible: never'}",
        "{'died': 'k', 'reason': 'OSError: odd'}",
    ]
