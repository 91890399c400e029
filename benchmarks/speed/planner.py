"""`transplant-bench speed planner`: a plan for 1,000 sites of ten tasks, beside four for a quarter of them.

The baseline tells whether planning stays linear: one plan for 1,000 sites should take what four plans for 250
sites take together (ratio 1); a quadratic planner would take four times that.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from rich.table import Table

from benchmarks.machine import this_machine
from benchmarks.quality.folder import note_cases
from benchmarks.records import Record, RecordBook
from transplant.errors import BenchmarkFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

BENCH = "planner"
SITES, TASKS, PARTS = 1000, 10, 4
RESIDENTS = (1, 500)
"""How many sites' task modules are resident already: the usual net, and one that is full of hosts."""

_MOST_S, _MOST_BYTES, _MOST_RATIO = 2.0, 200 << 20, 2.0
_METRICS = ("plan_wall_time", "plan_peak_rss")


def run_planner(out: Path, console: Console, *, repetitions: int, command: str) -> list[str]:
    """Measure what `out` has not yet, show it, and return the bars that were missed.

    Args:
        out: folder of the records.
        console: where the table is shown.
        repetitions: plans of each size, each in a process of its own; the median counts.
        command: what was typed, for the list of runs.
    """
    machine, book, began_s, ran = this_machine(), RecordBook(out), time.monotonic(), 0
    for residents in RESIDENTS:
        if all(book.has(_record(residents, metric)) for metric in _METRICS):
            continue
        console.print(f"planning for {SITES} sites of {TASKS} tasks, {residents} resident", highlight=False)
        whole, part = (
            _sizes(SITES, residents, repetitions),
            _sizes(SITES // PARTS, residents // PARTS, repetitions),
        )
        seconds, baseline = _median(whole, "seconds"), PARTS * _median(part, "seconds")
        peak, its = _median(whole, "peak_rss_bytes"), _median(part, "peak_rss_bytes")
        book.add(_record(residents, _METRICS[0], seconds, baseline, commit=machine.commit))
        book.add(_record(residents, _METRICS[1], peak, its, unit="bytes", commit=machine.commit))
        ran += 1
    records = [record for record in book if record.bench == BENCH]
    console.print(_table(records))
    note_cases(out, machine, command, ran, began_s)
    return [missed for record in records for missed in _missed(record)]


def _record(
    residents: int, metric: str, value: float = 0.0, baseline: float = 1.0, unit: str = "", **more: Any
) -> Record:
    return Record(
        bench=BENCH,
        metric=metric,
        value=value,
        unit=unit or ("bytes" if metric == _METRICS[1] else "s"),
        method=f"{SITES} sites x {TASKS} tasks, {residents} resident",
        baseline=baseline,
        ratio=value / baseline,
        **more,
    )


def _sizes(sites: int, residents: int, repetitions: int) -> list[dict[str, Any]]:
    return [_alone(sites, max(1, residents)) for _ in range(repetitions)]


def _alone(sites: int, residents: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.speed.planner_child", str(sites), str(TASKS), str(residents)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    if done.returncode:
        raise BenchmarkFailed(
            f"planning for {sites} sites ended with {done.returncode}: {done.stderr[-500:]}"
        )
    return json.loads(done.stdout)


def _median(figures: Sequence[dict[str, Any]], name: str) -> float:
    return statistics.median(float(each[name]) for each in figures)


def _missed(record: Record) -> list[str]:
    if record.metric == _METRICS[1]:
        over = record.value > _MOST_BYTES
        told = f"{record.value / 2**20:.0f} MiB, the bar is {_MOST_BYTES / 2**20:.0f} MiB"
        return [f"{record.metric} of {record.method}: {told}"] if over else []
    missed: list[str] = []
    if record.value > _MOST_S:
        missed.append(f"{record.metric} of {record.method}: {record.value:.2f} s, the bar is {_MOST_S:g} s")
    if (record.ratio or 0.0) > _MOST_RATIO:
        missed.append(
            f"{record.metric} of {record.method}: {record.ratio:.2f} times its parts, it is not linear"
        )
    return missed


def _table(records: Sequence[Record]) -> Table:
    table = Table("what", "metric", "ours", "baseline", "ratio", "bar")
    for record in records:
        memory = record.metric == _METRICS[1]
        amounts = [record.value, record.baseline or 0.0]
        shown = [f"{each / 2**20:.0f} MiB" if memory else f"{each:.2f} s" for each in amounts]
        bar = f"<= {_MOST_BYTES >> 20} MiB" if memory else f"<= {_MOST_S:g} s, ratio <= {_MOST_RATIO:g}"
        verdict = "  MISSED" if _missed(record) else ""
        table.add_row(record.method, record.metric, *shown, f"{record.ratio or 0.0:.2f}", bar + verdict)
    return table
