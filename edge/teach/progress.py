"""Show a training: a bar on a terminal, one plain line an epoch anywhere else."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Generator

    from edge.teach.teaching import EpochRecord


class TeachingProgress(Protocol):
    """Who is told how a training goes."""

    def on_batch(self, epoch: int, done: int, of: int) -> None:
        """`done` of `of` batches of this epoch are trained."""
        ...

    def on_epoch(self, record: EpochRecord) -> None:
        """An epoch ended."""
        ...

    def say(self, line: str) -> None:
        """Anything else worth a line."""
        ...


class SilentProgress:
    """Tells nobody; for tests and libraries."""

    def on_batch(self, epoch: int, done: int, of: int) -> None:
        """Ignore a batch."""

    def on_epoch(self, record: EpochRecord) -> None:
        """Ignore an epoch."""

    def say(self, line: str) -> None:
        """Ignore a line."""


class LineProgress:
    """One line an epoch.

    Args:
        console: where to write.
        label: who is training.
        epochs: how many epochs there are at most.
    """

    def __init__(self, console: Console, label: str, epochs: int) -> None:
        self._console = console
        self._label = label
        self._epochs = epochs
        self._started_s = time.monotonic()

    def on_batch(self, epoch: int, done: int, of: int) -> None:
        """Batches are too many for lines."""

    def on_epoch(self, record: EpochRecord) -> None:
        """Write the epoch's figures and how long it took."""
        now_s = time.monotonic()
        self.say(
            f"epoch {record.epoch + 1}/{self._epochs}  loss {record.loss:.3f}  {figures_line(record.figures)}"
            f"  {now_s - self._started_s:.1f} s"
        )
        self._started_s = now_s

    def say(self, line: str) -> None:
        """Write one line."""
        self._console.print(f"{self._label}  {line}", markup=False, highlight=False, soft_wrap=True)


class BarProgress(LineProgress):
    """A bar over all batches, with the lines of finished epochs above it."""

    def __init__(self, console: Console, label: str, epochs: int, bar: Progress) -> None:
        super().__init__(console, label, epochs)
        self._bar = bar
        self._row = bar.add_task(label, total=None)

    def on_batch(self, epoch: int, done: int, of: int) -> None:
        """Move the bar."""
        self._bar.update(self._row, completed=epoch * of + done, total=self._epochs * of)


@contextmanager
def shown_progress(label: str, epochs: int) -> Generator[TeachingProgress]:
    """Give a bar where standard error is a terminal, lines elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield LineProgress(console, label, epochs)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield BarProgress(console, label, epochs, bar)


def figures_line(figures: dict[str, dict[str, float]]) -> str:
    """Return the validation figures of every task in a few words."""
    words: list[str] = []
    for values in figures.values():
        words += [
            f"{name.replace('_', ' ')} {values[name]:.2f} %" for name in ("error", "iou") if name in values
        ]
    return "  ".join(words)
