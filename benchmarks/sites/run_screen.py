"""What a run shows: a line for each thing that happened, and bars for cells and for the sites of a round."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Generator

    from rich.console import Console


class Screen:
    """Bars on a terminal, plain lines anywhere else.

    Args:
        console: where to write.
        bars: shown while a run lasts.
        cells: how many there are to run.
    """

    def __init__(self, console: Console, bars: Progress, cells: int) -> None:
        self._console = console
        self._bars = bars
        self._cells = cells
        self._done = 0
        self._began_s = time.monotonic()
        self._cell_row = bars.add_task("cells", total=cells)
        self._site_row = bars.add_task("sites of this round", total=None, visible=False)

    def say(self, sentence: str) -> None:
        """Write one line."""
        seconds = time.monotonic() - self._began_s
        self._console.print(f"[{seconds:7.1f} s] {sentence}", markup=False, highlight=False)

    def site_done(self, done: int, of: int) -> None:
        """Move the bar of the round."""
        self._bars.update(self._site_row, completed=done, total=of, visible=done < of)

    def cell_done(self, sentence: str) -> None:
        """Count a cell."""
        self._done += 1
        self._bars.advance(self._cell_row)
        self.say(f"{self._done}/{self._cells} {sentence}")


@contextmanager
def shown(console: Console, cells: int) -> Generator[Screen]:
    """Give the screen of a run."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield Screen(console, bars, cells)
