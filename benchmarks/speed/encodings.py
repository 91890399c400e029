"""What a shorter encoding of the weights costs in accuracy and saves in bytes, on trained teachers.

The route that is measured is the one that a center would have: f and g_T sealed in the encoding and loaded
again, on the site's own test images, beside the same route in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from torch import nn

from benchmarks.machine import commit
from benchmarks.quality.site_data import SiteKey
from benchmarks.quality.teachers import TeacherKey, load_teacher, recipe_of, train_teacher
from benchmarks.records import Record, RecordBook
from edge.datasets.site_dataset import Split
from transplant.artifact.codec import encode
from transplant.artifact.encoding import Encoding, as_received
from transplant.nets.measures import DECIDING_MEASURE, measure
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from benchmarks.quality.teachers import KnownTeacher

BENCH = "encodings"
_METRICS = ("encoding_error", "encoding_bytes")


def run_encodings(
    out: Path,
    console: Console,
    *,
    data: str,
    categories: Sequence[str],
    seeds: Sequence[int],
    epochs: int | None,
    data_root: Path,
) -> None:
    """Train what is not trained yet, measure what is not measured yet, and show the records.

    Args:
        out: folder of the records and the teachers.
        console: where progress and the table are shown.
        data: what the sites have: scenes, voc_mammals or cifar10.
        categories: whose teachers.
        seeds: of data and training.
        epochs: of the training; None: the default of the data.
        data_root: folder of the data packs; scenes need none.
    """  # fmt: skip
    book = RecordBook(out)
    for category in categories:
        for seed in seeds:
            key = TeacherKey(
                SiteKey(data, category, seed, out / "sites", data_root),
                "vgg_small",
                recipe_of(data, seed, epochs, "float32"),
            )
            console.print(f"  {data} {category}, seed {seed}")
            train_teacher(key, out / "teachers")
            for record in _measured(key, load_teacher(key, out / "teachers"), book):
                book.add(record)
    console.print(_table([record for record in book if record.bench == BENCH]))


def _measured(key: TeacherKey, teacher: KnownTeacher, book: RecordBook) -> list[Record]:
    """Return what is not in the book yet: float32 comes first, for it is everybody's baseline."""
    made: list[Record] = []
    for task in Task:
        if task.value not in teacher.figures:
            continue
        plain: dict[str, float] = {}
        for encoding in Encoding:
            cells = {name: _record(name, key, task, encoding) for name in _METRICS}
            if all(book.has(cell) for cell in cells.values()):
                continue
            values = _values(key, teacher, task, encoding)
            plain = plain or (
                values if encoding is Encoding.F32 else _values(key, teacher, task, Encoding.F32)
            )
            made += [
                _record(name, key, task, encoding, values[name], baseline=plain[name]) for name in _METRICS
            ]
    return made


def _values(key: TeacherKey, teacher: KnownTeacher, task: Task, encoding: Encoding) -> dict[str, float]:
    """Return the error of the route in percent (of segmentation 100 - IoU), and the bytes of f and g."""
    parts = (teacher.category_module, teacher.task_module(task))
    route = nn.Sequential(*(as_received(part, encoding) for part in parts)).eval()
    figures = measure(route, key.site.load(Split.TEST).batches(task), task)
    decisive = figures[DECIDING_MEASURE[task]]
    return {
        "encoding_error": decisive if task is Task.CLASSIFICATION else 100.0 - decisive,
        "encoding_bytes": float(sum(len(encode(part, encoding)[0]) for part in parts)),
    }


def _record(
    metric: str,
    key: TeacherKey,
    task: Task,
    encoding: Encoding,
    value: float = 0.0,
    baseline: float | None = None,
) -> Record:
    return Record(
        BENCH,
        metric,
        value,
        "percent" if metric == "encoding_error" else "bytes",
        data=key.site.data,
        arch=key.arch,
        method=encoding.value,
        seed=key.site.seed,
        category=key.site.category,
        task=task.value,
        baseline=baseline,
        ratio=value / baseline if baseline else None,
        commit=commit(),
    )


def _table(records: Sequence[Record]) -> Table:
    table = Table()
    for name in ("category", "seed", "task", "encoding", "error %", "more than f32", "bytes", "of f32"):
        table.add_column(name)
    sizes = {(r.category, r.seed, r.task, r.method): r for r in records if r.metric == "encoding_bytes"}
    for record in records:
        if record.metric != "encoding_error":
            continue
        size = sizes[record.category, record.seed, record.task, record.method]
        table.add_row(
            record.category,
            str(record.seed),
            record.task,
            record.method,
            f"{record.value:.2f}",
            f"{record.value - (record.baseline or 0.0):+.2f}",
            f"{size.value:,.0f}",
            f"{size.ratio or 0.0:.3f}",
        )
    return table
