"""How much memory a run takes over all its processes: this one, its children, Ray's workers and daemons."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_PROC = Path("/proc")
_EVERY_S = 2.0  # a look costs some milliseconds a process


def tree_bytes() -> int:
    """Return the memory of this process and all below it; what processes share counts once (PSS).

    0 where the system does not tell (it does on Linux).
    """
    parents: dict[int, int] = {}
    for entry in _PROC.glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):  # ended while we looked
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    below = {_own_id()}
    grown = True
    while grown:
        more = {process for process, parent in parents.items() if parent in below and process not in below}
        below |= more
        grown = bool(more)
    return sum(_pss(process) for process in below)


class MemoryWatch:
    """Watches the tree inside its `with` block; `note` marks a moment that is to be compared with others."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self.noted: list[int] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def note(self) -> None:
        """Remember how much there is now."""
        self.noted.append(tree_bytes())
        self.peak_bytes = max(self.peak_bytes, self.noted[-1])

    @property
    def growth_bytes(self) -> int | None:
        """Return by how much the last noted moment is over the second (the first still loads libraries).

        None where there are no more than two: nothing was measured.
        """
        return self.noted[-1] - self.noted[1] if len(self.noted) > 2 else None

    def _watch(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, tree_bytes())
            if self._stopped.wait(_EVERY_S):
                return


def _own_id() -> int:
    return int((_PROC / "self").readlink().name) if (_PROC / "self").exists() else -1


def _pss(process: int) -> int:
    with suppress(OSError, ValueError):
        for line in (_PROC / str(process) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
