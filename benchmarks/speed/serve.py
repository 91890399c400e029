"""`transplant-bench speed serve`: one net of 20 categories beside 20 separate teachers, one after the other.

Every category needs its own pass through g_S, so the operations are those of the teachers, and the adapters'
on top. What can be won is the fixed cost of small calls (one image), the reading of wide layers (VGG-16),
memory and bytes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.table import Table

from benchmarks.machine import this_machine
from benchmarks.quality.folder import note_cases
from benchmarks.records import Record, RecordBook
from benchmarks.speed.plan import Bar
from benchmarks.speed.serve_child import in_own_process
from benchmarks.speed.serve_nets import ServeCase
from transplant.errors import InvalidSettings
from transplant.types import Task

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

BENCH = "serve"
SPEEDUP, MEMORY, FILES = "inference_speedup", "inference_memory", "inference_files"
LEAN = "inference_speedup_lean"
"""Beside teachers that are run by the net's own code: what sharing wins without that code's other merits."""
_ADAPTERS = ((3, 1), (3, 3))
"""Layers and kernel: the paper's of Experiment 2, and what a center learns by default."""
_SPEED_BARS = {("vgg_small", 1): 1 / 2, ("vgg_small", 64): 1.1, ("vgg16", 1): 0.9}
_SHARE_BAR = 1 / 10


def cases_of(tasks: str, arch: str | None) -> list[ServeCase]:
    """Return what is measured, cheap cases first; VGG-16 classifies.

    Raises:
        InvalidSettings: for a task or an architecture that is not there.
    """
    unknown = [task for task in tasks.split(",") if task not in list(Task)]
    if unknown or arch not in (None, "vgg_small", "vgg16"):
        raise InvalidSettings(f"--tasks takes {', '.join(Task)} and --arch vgg_small or vgg16")
    cases = [
        ServeCase("vgg_small", Task(task), images, *adapter)
        for task in tasks.split(",")
        for images in (1, 64)
        for adapter in _ADAPTERS
    ]
    cases += [ServeCase("vgg16", Task.CLASSIFICATION, 1, *adapter) for adapter in _ADAPTERS]
    return [case for case in cases if arch in (None, case.arch)]


def bar_of(record: Record) -> Bar | None:
    """Return what a record must reach: bars are set for classification."""
    if record.task != Task.CLASSIFICATION:
        return None
    if record.metric == LEAN:
        return None
    if record.metric == SPEEDUP:
        return Bar(SPEEDUP, _SPEED_BARS[record.arch or "", record.samples or 0])
    return Bar(record.metric, _SHARE_BAR)


def run_serve(
    cases: list[ServeCase], out: Path, console: Console, *, repetitions: int, command: str
) -> list[str]:
    """Measure what `out` has not yet, show all records, and return the bars that were missed."""
    machine = this_machine()
    book = RecordBook(out)
    began_s, ran = time.monotonic(), 0
    for case in cases:
        metrics = (SPEEDUP, LEAN, MEMORY, FILES) if case.arch == "vgg16" else (SPEEDUP, LEAN)
        if all(book.has(_record(case, metric, 0.0)) for metric in metrics):
            continue
        console.print(f"measuring {case.sentence()}", highlight=False)
        for record in measured(case, repetitions, machine.commit):
            book.add(record)
        ran += 1
    records = [record for record in book if record.bench == BENCH]
    console.print(_table(records))
    note_cases(out, machine, command, ran, began_s)
    missed = [(record, bar) for record in records if (bar := bar_of(record)) and not bar.cleared_by(record)]
    return [
        f"{record.metric}, {_what(record)}: {record.ratio:.3g}; the bar is {bar.sentence()}"
        for record, bar in missed
    ]


def measured(case: ServeCase, repetitions: int, commit: str) -> list[Record]:
    """Measure a case: time in one process, in turns; of VGG-16 also memory and files, each in its own."""
    told = in_own_process("time", case, repetitions)
    ours = told["net"]
    records: list[Record] = []
    for metric, name in ((SPEEDUP, "teachers"), (LEAN, "lean")):
        ratio = ours["cpu_seconds"] / told[name]["cpu_seconds"]
        records.append(
            _record(
                case, metric, 1 / ratio, baseline=1.0, ratio=ratio, commit=commit,
                seconds=round(ours["seconds"], 6), cpu_seconds=round(ours["cpu_seconds"], 6),
            )
        )  # fmt: skip
    if case.arch == "vgg16":
        net, teachers = (in_own_process(what, case, repetitions) for what in ("net", "teachers"))
        for metric, name in ((MEMORY, "resident_bytes"), (FILES, "file_bytes")):
            records.append(
                _record(
                    case, metric, net[name], baseline=teachers[name], ratio=net[name] / teachers[name],
                    commit=commit, peak_rss_bytes=net["peak_rss_bytes"],
                )
            )  # fmt: skip
    return records


def _record(case: ServeCase, metric: str, value: float, **measured: Any) -> Record:
    return Record(
        BENCH,
        metric,
        value,
        "times" if metric in (SPEEDUP, LEAN) else "bytes",
        arch=case.arch,
        method=f"{case.categories} categories",
        samples=case.images,
        task=case.task.value,
        layers=case.layers,
        kernel=case.kernel,
        **measured,
    )


def _what(record: Record) -> str:
    adapter = f"{record.layers} x {record.kernel}x{record.kernel}"
    return f"{record.arch} {record.task}, batch {record.samples}, {adapter}"


def _table(records: list[Record]) -> Table:
    table = Table()
    for name in ("what", "metric", "net", "20 teachers", "ratio", "bar"):
        table.add_column(name)
    for record in records:
        bar = bar_of(record)
        table.add_row(
            _what(record),
            record.metric,
            _amount(record, record.value),
            _amount(record, record.baseline or 0.0),
            f"{record.ratio:.3g}",
            "" if bar is None else bar.sentence() + ("" if bar.cleared_by(record) else "  MISSED"),
        )
    return table


def _amount(record: Record, value: float) -> str:
    return f"{value:.2f} x" if record.unit == "times" else f"{value / 2**20:,.0f} MiB"
