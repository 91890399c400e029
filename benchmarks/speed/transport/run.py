"""`transplant-bench speed transport`: from its sizes to its records, its table and the bars it missed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.machine import this_machine
from benchmarks.quality.folder import note_cases
from benchmarks.records import RecordBook
from benchmarks.speed.transport.measure import BENCH, FLOWER, MIB, PLAIN, Figures, measured

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from benchmarks.records import Record
    from benchmarks.speed.transport.measure import Sizes

LEAST_RATIO = {PLAIN: 0.8, FLOWER: 5.0}
MOST_ABOVE_IDLE_BYTES = 150 * MIB


def run_transport(sizes: Sizes, out: Path, console: Console, *, command: str) -> list[str]:
    """Measure unless `out` has this size already, show the records, and return the bars that were missed.

    Args:
        sizes: what is measured.
        out: folder of the records; uploads go to the same disk.
        console: where progress and the table are shown.
        command: what was typed, for the list of runs.
    """
    book = RecordBook(out)
    began_s = time.monotonic()
    if not book.has(Figures(sizes.mib, 0).record("upload_throughput", 0.0, "bytes/s", f"beside {PLAIN}")):
        machine = this_machine()
        figures = measured(
            sizes, out, lambda said: console.print(f"  {time.monotonic() - began_s:6.0f} s  {said}")
        )
        for record in figures.records(machine.commit):
            book.add(record)
        note_cases(out, machine, command, 1, began_s)
    records = [record for record in book if record.bench == BENCH]
    console.print(_table(records))
    return [sentence for record in records if (sentence := missed(record))]


def missed(record: Record) -> str | None:
    """Return a sentence about the bar that a record misses."""
    bar = _bar(record)
    if bar is None or bar[1]:
        return None
    return f"{record.metric} ({record.method}): {_amount(record)}, {_ratio(record)}; the bar is {bar[0]}"


def _bar(record: Record) -> tuple[str, bool] | None:
    """Return the bar of a record and whether it is cleared."""
    if record.metric == "server_memory":
        return f"<= {MOST_ABOVE_IDLE_BYTES // MIB} MiB", record.value <= MOST_ABOVE_IDLE_BYTES
    for way, least in LEAST_RATIO.items():
        if record.metric == "upload_throughput" and (record.method or "").endswith(f"beside {way}"):
            return f">= {least:g} x {way}", (record.ratio or 0.0) >= least
    return None


def _table(records: list[Record]) -> Table:
    table = Table()
    for name in ("metric", "of", "ours", "baseline", "ratio", "bar"):
        table.add_column(name)
    for record in records:
        bar = _bar(record)
        table.add_row(
            record.metric,
            record.method,
            _amount(record),
            "" if record.baseline is None else _amount(record, record.baseline),
            _ratio(record),
            "" if bar is None else bar[0] + ("" if bar[1] else "  MISSED"),
        )
    return table


def _amount(record: Record, value: float | None = None) -> str:
    chosen = record.value if value is None else value
    if record.unit == "s":
        return f"{chosen:.2f} s"
    return f"{chosen / MIB:,.1f} MiB" + ("/s" if record.unit == "bytes/s" else "")


def _ratio(record: Record) -> str:
    return "" if record.ratio is None else f"{record.ratio:.3g}"
