"""A worker that cannot leave its outcome for a reason that passes did not die: its merge is tried again."""

from __future__ import annotations

import asyncio
import threading

import pytest
from ray.exceptions import RayTaskError

from central.runners.engine import Died, Hindered
from central.runners.foreman import _ending
from central.runners.local import LocalEngine
from transplant.errors import MergeNotPossible, StorageFull, TransplantError


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


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (StorageFull("no room left"), "hindered"),
        (MergeNotPossible("never"), "died"),
        (OSError("odd"), "died"),
    ],
)
def test_so_does_a_ray_worker(cause: TransplantError | OSError, kind: str):
    async def failed():
        raise RayTaskError("work", "Traceback ...", cause)

    told = asyncio.run(_ending("k", failed()))
    assert told == {kind: "k", "reason": f"{type(cause).__name__}: {cause}"}
