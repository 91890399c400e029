"""Several callers of a registry at the same moment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fakes.registry_entries import NOW, add_merge
from transplant.errors import RegistryConflict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from central.registry.registry import Registry

WRITERS = 6


def together(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run the calls at the same moment, each in a thread; return what each returned or raised."""
    barrier = threading.Barrier(len(calls), timeout=20)

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return call()
        except RegistryConflict as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def count_up_together(*registries: Registry) -> None:
    """Let several threads of each registry read, add one and write."""
    with registries[0].write() as books:
        key = add_merge(books).task.key

    def count_up(registry: Registry) -> None:
        for _ in range(5):
            with registry.write() as books:
                status = books.merges.get(key).status
                books.merges.move(status, replace(status, attempts=status.attempts + 1), "EngineReady", NOW)

    together([lambda each=each: count_up(each) for each in registries * (WRITERS // 2)])
    with registries[0].read() as books:
        assert books.merges.get(key).status.attempts == 5 * WRITERS
        assert len(books.merges.transitions(key)) == 5 * WRITERS + 1
