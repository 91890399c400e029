"""One run of a speed bench, from its name to its records, its table and the bars that were missed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.machine import this_machine
from benchmarks.quality.folder import note_cases
from benchmarks.records import RecordBook
from benchmarks.speed.measure import measured, metrics_of
from benchmarks.speed.plan import BARS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from benchmarks.records import Record
    from benchmarks.speed.cases import Case

_TELL_EVERY_S = 15.0


def run_speed(
    cases: Sequence[Case], out: Path, console: Console, *, repetitions: int, command: str
) -> list[str]:
    """Measure every case that `out` has not yet, show all of them, and return the bars that were missed.

    Args:
        cases: of one name.
        out: folder of the records.
        console: where progress and the table are shown.
        repetitions: of each variant.
        command: what was typed, for the list of runs.
    """
    machine = this_machine()
    book = RecordBook(out)
    began_s, ran = time.monotonic(), 0
    for case in cases:
        if all(book.has(case.record(metric, 0.0, _unit(metric))) for metric in metrics_of(case)):
            continue
        console.print(f"measuring {case.sentence()}", highlight=False)
        for record in measured(case, repetitions, machine.commit, _Teller(console).tell):
            book.add(record)
        ran += 1
    wanted = {case.record("", 0.0, "").method for case in cases}
    benches = {case.bench.value for case in cases}
    records = [record for record in book if record.bench in benches and record.method in wanted]
    console.print(_table(records))
    note_cases(out, machine, command, ran, began_s)
    return [_missed(record) for record in records if _has_missed(record)]


class _Teller:
    """Says where a long measurement is: at once where a phase begins, every few seconds within it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began_s = self._told_s = time.monotonic()
        self._phase = ""

    def tell(self, variant: str, phase: str, step: int, total: int) -> None:
        now_s = time.monotonic()
        if phase == self._phase and step < total and now_s - self._told_s < _TELL_EVERY_S:
            return
        self._phase, self._told_s = phase, now_s
        self._console.print(
            f"  {now_s - self._began_s:6.0f} s  {variant}: {phase} {step} of {total}", highlight=False
        )


def _unit(metric: str) -> str:
    return "bytes" if metric.endswith(("memory", "rss")) else "s"


def _has_missed(record: Record) -> bool:
    bar = BARS.get(record.metric)
    return bar is not None and not bar.cleared_by(record)


def _missed(record: Record) -> str:
    what = f"{record.metric} of {record.arch} {record.task} ({record.method})"
    ratio = "" if record.ratio is None else f", ratio {record.ratio:.3g}"
    bar = BARS[record.metric].sentence()
    return f"{what}: {_amount(record.value, record.unit)}{ratio}; the bar is {bar}"


def _table(records: Sequence[Record]) -> Table:
    table = Table()
    for name in ("arch", "task", "setting", "metric", "ours", "baseline", "ratio", "peak RSS", "bar"):
        table.add_column(name)
    for record in records:
        bar = BARS.get(record.metric)
        adapter = "" if record.layers is None else f"{record.layers} x {record.kernel}x{record.kernel}, "
        table.add_row(
            record.arch,
            record.task,
            adapter + (record.method or ""),
            record.metric,
            _amount(record.value, record.unit),
            "" if record.baseline is None else _amount(record.baseline, record.unit),
            "" if record.ratio is None else f"{record.ratio:.3g}",
            "" if record.peak_rss_bytes is None else _amount(record.peak_rss_bytes, "bytes"),
            "" if bar is None else bar.sentence() + ("" if bar.cleared_by(record) else "  MISSED"),
        )
    return table


def _amount(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 2**20:,.0f} MiB"
    return f"{value * 1000:,.1f} ms" if value < 1 else f"{value:,.1f} s"
