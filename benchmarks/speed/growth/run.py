"""`transplant-bench speed growth`: from its sizes to its records, its table and the bars that it missed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.machine import this_machine
from benchmarks.quality.folder import note_cases
from benchmarks.records import RecordBook
from benchmarks.speed.growth.measure import BENCH, measured, record
from benchmarks.speed.plan import Bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from benchmarks.records import Record
    from benchmarks.speed.growth.material import GrowthSize

BARS = {
    bar.metric: bar
    for bar in (
        Bar("growth_wall_time", 0.65),
        Bar("growth_overhead", 0.05, of_ratio=False),
        Bar("growth_bend", 1.25, of_ratio=False),
    )
}


def run_growth(
    size: GrowthSize, workers: int, local_threads: Sequence[int], out: Path, console: Console, *, command: str
) -> list[str]:
    """Measure unless `out` has this size already, show the records, and return the bars that were missed.

    Args:
        size: what grows.
        workers: of Ray.
        local_threads: numbers of threads that the local runner is tried with.
        out: folder of the records; homes are made below it, and removed.
        console: where progress and the table are shown.
        command: what was typed, for the list of runs.
    """
    book, began_s = RecordBook(out), time.monotonic()
    if not book.has(record(size, workers, "growth_wall_time", 0.0, "s")):
        machine = this_machine()
        folder = Path(mkdtemp(prefix="growth-", dir=out.resolve()))

        def tell(said: str) -> None:
            console.print(f"  {time.monotonic() - began_s:6.0f} s  {said}", highlight=False)

        try:
            figures = measured(size, workers, local_threads, folder, tell)
        finally:
            shutil.rmtree(folder)
        for each in figures.records(machine.commit):
            book.add(each)
        note_cases(out, machine, command, 1, began_s)
    wanted = record(size, workers, "", 0.0, "").method
    records = [each for each in book if each.bench == BENCH and each.method == wanted]
    console.print(_table(records))
    return [sentence for each in records if (sentence := missed(each))]


def missed(each: Record) -> str | None:
    """Return a sentence about the bar that a record misses."""
    bar = BARS.get(each.metric)
    if bar is None or bar.cleared_by(each):
        return None
    ratio = "" if each.ratio is None else f", ratio {each.ratio:.3g}"
    return (
        f"{each.metric} ({each.method}): {_amount(each.value, each.unit)}{ratio}; the bar is {bar.sentence()}"
    )


def _table(records: Sequence[Record]) -> Table:
    table = Table(title=records[0].method if records else None, title_justify="left")
    for name in ("metric", "value", "baseline", "ratio", "bar"):
        table.add_column(name)
    for each in records:
        bar = BARS.get(each.metric)
        table.add_row(
            each.metric,
            _amount(each.value, each.unit),
            "" if each.baseline is None else _amount(each.baseline, each.unit),
            "" if each.ratio is None else f"{each.ratio:.3g}",
            "" if bar is None else bar.sentence() + ("" if bar.cleared_by(each) else "  MISSED"),
        )
    return table


def _amount(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value * 1000:,.1f} ms" if abs(value) < 1 else f"{value:,.1f} s"
    return f"{value:.2f} x" if unit == "x" else f"{value:,.0f}"
