"""An engine whose workers do what the test says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.merge.execute import execute
from central.runners.engine import Died, Ending, Finished, Hindered, Lost
from transplant.errors import MergeEngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from central.merge.orders import WorkOrder
    from central.runners.engine import Engine


class FakeEngine:
    """Implements `central.runners.engine.Engine`; nothing happens until the test lets it."""

    def __init__(self, capacity: int = 2) -> None:
        self.capacity = capacity
        self.missing = ""
        self.orders: dict[str, WorkOrder] = {}
        self.endings: list[Ending] = []
        self.submitted: list[str] = []

    def tell(self, wake: Callable[[], None]) -> None:
        self.wake = wake

    def ensure_ready(self) -> None:
        if self.missing:
            raise MergeEngineUnavailable(self.missing)

    def submit(self, order: WorkOrder) -> None:
        self.ensure_ready()
        self.orders[order.merge_key] = order
        self.submitted.append(order.merge_key)

    def running(self) -> frozenset[str]:
        return frozenset(self.orders) | {ending.merge_key for ending in self.endings}

    def collect(self) -> tuple[Ending, ...]:
        endings, self.endings = tuple(self.endings), []
        return endings

    def close(self) -> None:
        self.orders.clear()

    def finish(self) -> None:
        """Let every worker do its work."""
        for key in list(self.orders):
            execute(self.orders.pop(key))
            self.endings.append(Finished(key))

    def kill_workers(self, reason: str = "out of memory") -> None:
        self.endings += [Died(key, reason) for key in self.orders]
        self.orders.clear()

    def hinder(self, reason: str = "StorageFull: no room left") -> None:
        self.endings += [Hindered(key, reason) for key in self.orders]
        self.orders.clear()

    def vanish(self, reason: str = "Ray went away") -> None:
        self.missing = reason
        self.endings += [Lost(key, reason) for key in self.orders]
        self.orders.clear()


def ready(engine: Engine) -> bool:
    """Tell whether an engine takes orders now; asking starts it."""
    try:
        engine.ensure_ready()
    except MergeEngineUnavailable:
        return False
    return True
