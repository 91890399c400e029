"""How much memory a server takes for uploads: its peak while they last, above what it held before."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType


class PeakMemory:
    """Measures the resident memory of another process inside its `with` block (Linux only, proc(5))."""

    peak_bytes: int = 0

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc") / str(pid)

    def __enter__(self) -> PeakMemory:
        (self._folder / "clear_refs").write_text("5", encoding="ascii")  # forgets the peak so far
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.peak_bytes = self._field("VmHWM")

    @property
    def resident_bytes(self) -> int:
        """Return what it holds now."""
        return self._field("VmRSS")

    def _field(self, name: str) -> int:
        for line in (self._folder / "status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        return 0


def all_at_once(jobs: Sequence[Callable[[], object]]) -> None:
    """Run every job in a thread of its own; none starts before all are ready.

    Raises:
        Exception: the first that a job raised.
    """
    barrier = threading.Barrier(len(jobs))

    def run(job: Callable[[], object]) -> None:
        barrier.wait()
        job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        for future in [pool.submit(run, job) for job in jobs]:
            future.result()
