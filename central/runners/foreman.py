"""The foreman: an actor on Ray that hands orders to workers, and outlives the center that gave them.

Ray kills the tasks of a driver that goes away. The foreman is detached from its driver, and the tasks are
the foreman's; a center that was killed and is started again finds it by its name and asks what still runs.
It takes any number of orders and runs no more of them at a time than it was told. It keeps nothing that
matters: where it dies with its node, the center hands its orders out again, and they go on from their
checkpoints. It imports no torch.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError, WorkerCrashedError

from central.merge.orders import WorkOrder, order_from_json
from central.runners.placement import Machine, machines_of, options_of
from central.runners.ray_worker import work
from transplant.errors import TransplantError

log = logging.getLogger(__name__)

_LONG_S = 5.0
_ALONE_S = 900.0
_WATCH_S = 30.0
_MACHINES_S = 5.0


class Foreman:
    """Every method is a coroutine: they run in one thread, in turns."""

    def __init__(self) -> None:
        self._task = ray.remote(max_retries=0)(work)  # the center counts the attempts
        self._workers = 1
        self._session = ""
        self._waiting: dict[str, WorkOrder] = {}
        self._flying: dict[str, Any] = {}
        self._flights: set[asyncio.Task[None]] = set()
        self._endings: dict[str, dict[str, str]] = {}
        self._news = asyncio.Event()
        self._machines: tuple[Machine, ...] = ()
        self._machines_at_s = 0.0
        self._heard_at_s = time.monotonic()
        self._watch: asyncio.Task[None] | None = None

    async def hello(self, session: str, workers: int) -> list[str]:
        """Serve a new driver, and no earlier one any more; return the merges that are with the foreman.

        Args:
            session: of the driver, any text that no other driver has.
            workers: how many merges may be learned at a time.
        """
        self._heard_at_s = time.monotonic()
        self._session, self._workers = session, workers
        self._news.set()  # an earlier driver's wait is over
        if self._watch is None:
            self._watch = asyncio.create_task(self._end_when_alone())
        self._start_some()
        return [*self._flying, *self._waiting]

    async def take(self, line: str) -> None:
        """Take an order; one that is here already is left alone."""
        order = order_from_json(line)
        if order.merge_key not in self._flying and order.merge_key not in self._waiting:
            self._endings.pop(order.merge_key, None)  # of an earlier attempt, which nobody waits for
            self._waiting[order.merge_key] = order
            self._start_some()

    async def news(self, session: str) -> list[dict[str, str]] | None:
        """Return the endings since the last call, after a few seconds at the latest.

        None tells a driver that another one has taken its place.
        """
        self._heard_at_s = time.monotonic()
        if session == self._session and not self._endings:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), _LONG_S)
            except TimeoutError:
                return []
        if session != self._session:
            return None
        endings, self._endings = list(self._endings.values()), {}
        return endings

    async def stop(self) -> None:
        """Stop every worker at once; what they saved stays."""
        self._waiting.clear()
        for reference in self._flying.values():
            ray.cancel(reference, force=True)
        await asyncio.gather(*self._flights)

    def _start_some(self) -> None:
        while self._waiting and len(self._flying) < self._workers:
            key = next(iter(self._waiting))
            order = self._waiting.pop(key)
            options = options_of(order, self._cluster())
            self._flying[key] = reference = self._task.options(**options).remote(order.to_json())
            flight = asyncio.create_task(self._see_home(key, reference))
            self._flights.add(flight)
            flight.add_done_callback(self._flights.discard)

    async def _see_home(self, key: str, reference: Any) -> None:
        ending = await _ending(key, reference)
        del self._flying[key]
        self._endings[key] = ending
        self._start_some()
        self._news.set()

    def _cluster(self) -> tuple[Machine, ...]:
        now_s = time.monotonic()
        if not self._machines or now_s - self._machines_at_s > _MACHINES_S:
            self._machines, self._machines_at_s = machines_of(ray.nodes()), now_s
        return self._machines

    async def _end_when_alone(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            busy = self._flying or self._waiting
            if not busy and time.monotonic() - self._heard_at_s > _ALONE_S:
                log.info("nothing to do, and no center has asked for %g s: the foreman ends", _ALONE_S)
                os._exit(0)  # an actor's background task has no other way to end its process


async def _ending(merge_key: str, reference: Any) -> dict[str, str]:
    try:
        await reference
    except (WorkerCrashedError, OutOfMemoryError, RayTaskError) as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, TransplantError) and cause.retry:
            return {"hindered": merge_key, "reason": first_line(error)}
        return {"died": merge_key, "reason": first_line(error)}
    except (RayError, ConnectionError) as error:
        return {"lost": merge_key, "reason": first_line(error)}
    return {"finished": merge_key}


def first_line(error: BaseException) -> str:
    """Return an error's class and the first line of what it says; of a worker's own error, that one's."""
    cause = getattr(error, "cause", None)
    told = cause if isinstance(cause, BaseException) else error
    said = str(told).strip().splitlines()
    return f"{type(told).__name__}: {said[0] if said else ''}"
