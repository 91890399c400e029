"""The terminal while a journey runs: one live line a process and one a merge, events scrolling above."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from transplant.backends.log_tail import last_line
from transplant.types import MergeState, MergeSummary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from benchmarks.journey.children import Child
    from benchmarks.journey.watch import Seen

_PLAIN_EVERY_S = 10.0
_LOG_PREFIX = re.compile(r"^\d{4}-\d\d-\d\d \S+ \S+ (?:INFO )?")
_COLOURS = {
    MergeState.PUBLISHED: "green",
    MergeState.REJECTED: "red",
    MergeState.FAILED: "red",
    MergeState.CANCELLED: "yellow",
}


class Screen:
    """Shows events and state; without a terminal it prints events and a line of state every ten seconds."""

    def __init__(self, console: Console, children: Sequence[Child]) -> None:
        self._console = console
        self._children = children
        self._began_s = time.monotonic()
        self._printed_s = self._began_s
        self._live = (
            Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        )

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def tell(self, sentence: str) -> None:
        """Print one event with the time since the start."""
        self._console.print(Text(f"[{self._elapsed_s():5.1f} s] {sentence}"), highlight=False)

    def show(self, seen: Seen) -> None:
        """Show the present state."""
        if self._live is not None:
            self._live.update(self._picture(seen))
        elif time.monotonic() - self._printed_s >= _PLAIN_EVERY_S:
            self._printed_s = time.monotonic()
            said = "; ".join(
                f"{child.name}: {_saying(child)}" for child in self._children if not child.finished
            )
            learning = ", ".join(
                f"{merge.category} {merge.task} {merge.step}/{merge.total_steps}"
                for merge in seen.merges.values()
                if merge.state is MergeState.LEARNING
            )
            self.tell(said + (f"; learning {learning}" if learning else ""))

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    def _picture(self, seen: Seen) -> Group:
        processes = Table(box=None, pad_edge=False, expand=True)
        processes.add_column(f"{self._elapsed_s():.0f} s", no_wrap=True, style="bold")
        processes.add_column("", no_wrap=True)
        processes.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
        for child in self._children:
            state = "done" if child.finished else ("running" if child.running else "down")
            restarts = f", restarted {child.restarts}x" if child.restarts else ""
            style = {"done": "green", "running": "", "down": "red"}[state]
            processes.add_row(child.name, Text(state + restarts, style), Text(_saying(child)))
        merges = Table(box=None, pad_edge=False)
        for name in ("merge", "state", "adapter", "step"):
            merges.add_column(name, no_wrap=True)
        for merge in seen.merges.values():
            merges.add_row(
                f"{merge.category} {merge.task}",
                Text(merge.state, _COLOURS.get(merge.state, "")),
                _bar(merge),
                f"{merge.step}/{merge.total_steps}" if merge.total_steps else "",
            )
        versions = f"versions published: {len(seen.versions)}"
        return Group(processes, "", merges, "", versions)


def _bar(merge: MergeSummary) -> ProgressBar:
    done = merge.state not in {MergeState.PLANNED, MergeState.LEARNING}
    total = max(1, merge.total_steps)
    return ProgressBar(total=total, completed=total if done else merge.step, width=20)


def _saying(child: Child) -> str:
    return _LOG_PREFIX.sub("", last_line(child.log)) or "starting"
