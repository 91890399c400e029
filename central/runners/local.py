"""The engine for debugging and tests: merge tasks in threads of the center's own process."""

from __future__ import annotations

import logging
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from central.merge.execute import execute
from central.runners.engine import AHEAD, Died, Ending, Finished, Hindered
from transplant.errors import TransplantError

if TYPE_CHECKING:
    from collections.abc import Callable

    from central.merge.orders import WorkOrder

log = logging.getLogger(__name__)

_PATIENCE_S = 10.0


class LocalEngine:
    """Implements `central.runners.engine.Engine`.

    Args:
        workers: how many merges may be learned at a time: so many threads, started with the first orders.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._threads: list[threading.Thread] = []
        self._orders: SimpleQueue[WorkOrder | None] = SimpleQueue()
        self._running: set[str] = set()
        self._endings: SimpleQueue[Ending] = SimpleQueue()
        self._stopping = threading.Event()
        self._wake: Callable[[], None] = lambda: None

    @property
    def capacity(self) -> int:
        """How many orders are taken at a time."""
        return AHEAD * self._workers

    def tell(self, wake: Callable[[], None]) -> None:
        """Have `wake` called when a merge has ended."""
        self._wake = wake

    def ensure_ready(self) -> None:
        """Do nothing: a process is always ready for its own threads."""

    def submit(self, order: WorkOrder) -> None:
        """Hand an order to the threads."""
        if order.merge_key in self._running:
            return
        self._running.add(order.merge_key)
        self._orders.put(order)
        if len(self._threads) < min(self._workers, len(self._running)):
            name = f"merge-worker-{len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def running(self) -> frozenset[str]:
        """Return the merges that were submitted and not collected."""
        return frozenset(self._running)

    def collect(self) -> tuple[Ending, ...]:
        """Return what has ended."""
        endings: list[Ending] = []
        while True:
            try:
                ending = self._endings.get_nowait()
            except Empty:
                return tuple(endings)
            self._running.discard(ending.merge_key)
            endings.append(ending)

    def close(self) -> None:
        """Ask the threads to stop before their next step, and wait a little."""
        self._stopping.set()
        for _ in self._threads:
            self._orders.put(None)
        for thread in self._threads:
            thread.join(_PATIENCE_S)

    def _work(self) -> None:
        while (order := self._orders.get()) is not None and not self._stopping.is_set():
            self._endings.put(self._executed(order))
            self._wake()

    def _executed(self, order: WorkOrder) -> Ending:
        try:
            execute(order, self._stopping.is_set)
        except Exception as error:
            if isinstance(error, TransplantError) and error.retry:
                log.warning("merge %s is to be tried again: %s: %s", order.merge_key, error.code(), error)
                return Hindered(order.merge_key, f"{error.code()}: {error}")
            log.exception("merge %s died", order.merge_key)
            return Died(order.merge_key, f"{type(error).__name__}: {error}")
        return Finished(order.merge_key)
