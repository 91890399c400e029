"""A center without network at work in this process: its loop, its engine, and a look at what is published."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.speed.growth.material import FOUNDER, WARM_UP, places, request
from central.compose import compose_center, compose_engine
from central.home import open_registry, store_place
from central.merge.reconcile import Reconciler
from transplant.errors import BenchmarkFailed
from transplant.types import MergeState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from benchmarks.speed.growth.material import GrowthSize
    from central.settings import CentralSettings
    from central.usecases.center import Center
    from transplant.types import Task

_LONGEST_S = 3600.0
_LOOK_S = 0.5
_LOOKS = 40
"""Every so many looks those merges are looked for that ended otherwise."""


class Growing:
    """A center whose loop runs in a thread."""

    def __init__(self, size: GrowthSize, center: Center) -> None:
        self._size = size
        self.center = center

    def warm_up(self) -> None:
        """Found the net and learn one category: what is loaded once is loaded then."""
        request(self.center, (FOUNDER,))
        self.wait_for(places(self._size, (FOUNDER,)))
        request(self.center, (WARM_UP,))
        self.wait_for(places(self._size, (WARM_UP,)))

    def wait_for(self, wanted: Collection[tuple[str, Task]]) -> list[tuple[float, int]]:
        """Wait until routes are published; return when each version was (s since 1970) with how many.

        The registry remembers when, so looking can be seldom: it takes processor time from the center.

        Raises:
            BenchmarkFailed: if a merge ended without being published, or it takes too long.
        """
        wanted, seen = set(wanted), list[tuple[float, int]]()
        began_s, number, looks = time.monotonic(), 0, 0
        while True:
            with self.center.registry.read() as books:
                newest = books.versions.newest_number()
                for each in range(number + 1, newest + 1):
                    there = {(route.category, route.task) for route in books.versions.get(each).routes}
                    seen.append((books.versions.published_at(each).timestamp(), len(wanted & there)))
            number = newest
            if seen and seen[-1][1] == len(wanted):
                return seen
            if time.monotonic() - began_s > _LONGEST_S:
                raise BenchmarkFailed(f"{len(wanted)} routes are not published within {_LONGEST_S:.0f} s")
            looks += 1
            if looks % _LOOKS == 0:
                self._look_for_failures()
            time.sleep(_LOOK_S)

    def _look_for_failures(self) -> None:
        with self.center.registry.read() as books:
            ended = [merge.status for merge in books.merges.list() if merge.status.ended]
        fallen = [status for status in ended if status.state is not MergeState.PUBLISHED]
        if fallen:
            raise BenchmarkFailed(f"{len(fallen)} merges were not published: {fallen[0].reason}")


@contextmanager
def growing(size: GrowthSize, settings: CentralSettings) -> Iterator[Growing]:
    """Run the loop of a home's center until the block is left."""
    registry = open_registry(settings)
    center, engine = compose_center(settings, registry), compose_engine(settings)
    loop = Reconciler(center, engine, store_place(settings))
    stop = threading.Event()
    thread = threading.Thread(target=loop.run, args=(stop,), name="merge-loop")
    thread.start()
    try:
        yield Growing(size, center)
    finally:
        stop.set()
        center.bell.ring()
        thread.join()
        engine.close()
        registry.close()
