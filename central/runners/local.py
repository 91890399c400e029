"""The engine for debugging and tests: merge tasks in threads of the center's own process."""

from __future__ import annotations

import logging
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from central.merge.execute import execute
from central.runners.engine import Died, Ending, Finished

if TYPE_CHECKING:
    from central.merge.orders import WorkOrder

log = logging.getLogger(__name__)

_PATIENCE_S = 10.0


class LocalEngine:
    """Implements `central.runners.engine.Engine`.

    Args:
        workers: how many merges may be learned at a time.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._threads: dict[str, threading.Thread] = {}
        self._endings: SimpleQueue[Ending] = SimpleQueue()
        self._stopping = threading.Event()

    @property
    def capacity(self) -> int:
        """How many merges may be learned at a time."""
        return self._workers

    def ensure_ready(self) -> None:
        """Do nothing: a process is always ready for its own threads."""

    def submit(self, order: WorkOrder) -> None:
        """Begin in a thread."""
        if order.merge_key in self._threads:
            return
        thread = threading.Thread(
            target=self._work, args=(order,), name=f"merge-{order.merge_key[:8]}", daemon=True
        )
        self._threads[order.merge_key] = thread
        thread.start()

    def running(self) -> frozenset[str]:
        """Return the merges that were submitted and not collected."""
        return frozenset(self._threads)

    def collect(self) -> tuple[Ending, ...]:
        """Return what has ended."""
        endings: list[Ending] = []
        while True:
            try:
                ending = self._endings.get_nowait()
            except Empty:
                return tuple(endings)
            self._threads.pop(ending.merge_key).join()
            endings.append(ending)

    def close(self) -> None:
        """Ask the threads to stop before their next step, and wait a little."""
        self._stopping.set()
        for thread in self._threads.values():
            thread.join(_PATIENCE_S)

    def _work(self, order: WorkOrder) -> None:
        try:
            execute(order, self._stopping.is_set)
        except Exception as error:
            log.exception("merge %s died", order.merge_key)
            self._endings.put(Died(order.merge_key, f"{type(error).__name__}: {error}"))
        else:
            self._endings.put(Finished(order.merge_key))
