"""The sites' processes: forked from one that has imported everything, so that many starts cost little."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.process import BaseProcess
    from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_PRELOADED = ["benchmarks.chaos.site", "benchmarks.chaos.resume_site", "benchmarks.chaos.load_site"]


class Member:
    """One process, which may be killed and started again as often as one likes.

    Args:
        main: what it runs; a function of a preloaded file.
        folder: its only argument.
    """

    def __init__(self, main: Callable[[str], None], folder: Path) -> None:
        self._main = main
        self._folder = folder
        self._process: BaseProcess | None = None
        self.starts = 0

    def start(self) -> None:
        """Start it (again)."""
        _CONTEXT.set_forkserver_preload(_PRELOADED)
        self._process = _CONTEXT.Process(target=self._main, args=(str(self._folder),), daemon=True)
        self._process.start()
        self.starts += 1

    @property
    def running(self) -> bool:
        """Tell whether it is alive now."""
        return self._process is not None and self._process.is_alive()

    @property
    def finished(self) -> bool:
        """Tell whether it ended well."""
        return self._process is not None and self._process.exitcode == 0

    def kill(self) -> None:
        """Kill -9, at once, and reap."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
