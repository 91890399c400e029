"""What a shorter encoding of the weights costs in accuracy and saves in bytes, on trained teachers.

`encoding_error` is of the founder's kind of route: f and g_T sealed in the encoding and loaded again, on the
site's own test images, beside the same route in float32. `encoding_route_error` is of a transplanted one: f
of a category, g_T, and the first category's g_S, all as a center received them, with an adapter that the
default method learned from these; the learner's seed is the same for every encoding.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rich.table import Table
from torch import nn

from benchmarks.machine import commit
from benchmarks.operator import drawings_of
from benchmarks.quality.folder import claim_settings
from benchmarks.quality.site_data import SiteKey
from benchmarks.quality.teachers import TeacherKey, load_teacher, recipe_of, train_teacher
from benchmarks.records import Record, RecordBook
from edge.datasets.site_dataset import Split
from transplant.artifact.codec import encode
from transplant.artifact.encoding import Encoding, as_received
from transplant.datafree.pipeline import TransplantLearner
from transplant.nets.architecture_table import image_px
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.learner_profile import with_profile
from transplant.nets.learning import AdapterProblem, run_learner
from transplant.nets.measures import DECIDING_MEASURE, measure
from transplant.nets.transplant_net import RouteNet, freeze
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

    from benchmarks.quality.teachers import KnownTeacher

BENCH = "encodings"
_METRICS = ("encoding_error", "encoding_bytes")
_ROUTE = "encoding_route_error"


def run_encodings(
    out: Path,
    console: Console,
    *,
    data: str,
    categories: Sequence[str],
    seeds: Sequence[int],
    epochs: int | None,
    data_root: Path,
    learner: LearnerConfig | None = None,
) -> None:
    """Train what is not trained yet, measure what is not measured yet, and show the records.

    Args:
        out: folder of the records and the teachers.
        console: where progress and the table are shown.
        data: what the sites have: scenes, voc_mammals or cifar10.
        categories: whose teachers; the first one's task modules are the hosts of the others' routes.
        seeds: of data and training.
        epochs: of the training; None: the default of the data.
        data_root: folder of the data packs; scenes need none.
        learner: of the transplanted routes; None: the defaults for images of this size.

    Raises:
        BenchmarkFailed: if the folder holds routes of another learner.
    """  # fmt: skip
    book = RecordBook(out)
    claim_settings(out, BENCH, {"learner": None if learner is None else learner.to_dict()})
    for seed in seeds:
        host: tuple[TeacherKey, KnownTeacher] | None = None
        for category in categories:
            key = TeacherKey(
                SiteKey(data, category, seed, out / "sites", data_root),
                "vgg_small",
                recipe_of(data, seed, epochs, "float32"),
            )
            console.print(f"  {data} {category}, seed {seed}")
            train_teacher(key, out / "teachers")
            teacher = load_teacher(key, out / "teachers")
            for record in _measured(key, teacher, book):
                book.add(record)
            if host is None:
                host = key, teacher
                continue
            for record in _transplanted(key, teacher, *host, learner, book):
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


def _transplanted(
    key: TeacherKey,
    teacher: KnownTeacher,
    host_key: TeacherKey,
    host: KnownTeacher,
    learner: LearnerConfig | None,
    book: RecordBook,
) -> Iterator[Record]:
    """Yield what is not in the book yet of routes into the host, float32 first."""
    for task in Task:
        if task.value not in teacher.figures or task.value not in host.figures:
            continue
        plain: float | None = None
        for encoding in Encoding:
            cell = replace(_record(_ROUTE, key, task, encoding), host=host_key.site.category)
            known = next((record for record in book if record.key() == cell.key()), None)
            value = (
                _route_error(key, teacher, host, task, encoding, learner) if known is None else known.value
            )
            plain = value if encoding is Encoding.F32 else plain
            if known is None:
                yield replace(cell, value=value, baseline=plain, ratio=value / plain if plain else None)


def _route_error(
    key: TeacherKey,
    teacher: KnownTeacher,
    host: KnownTeacher,
    task: Task,
    encoding: Encoding,
    learner: LearnerConfig | None,
) -> float:
    """Return the error in percent (of segmentation 100 - IoU) of a route learned from encoded modules."""
    f, g_teacher, f_host, g_host = (
        freeze(as_received(part, encoding))
        for part in (
            teacher.category_module,
            teacher.task_module(task),
            host.category_module,
            host.task_module(task),
        )
    )
    problem = AdapterProblem(f, g_teacher, g_host, f_host, teacher.architecture, host.architecture, task)
    config = learner or LearnerConfig.from_dict(
        with_profile({"drawings": drawings_of(key.site.data)}, image_px(teacher.architecture))
    )
    learned = run_learner(TransplantLearner(), problem, config.with_seed(key.site.seed))
    route = RouteNet(f, learned.adapter, g_host)
    return _decisive(measure(route, key.site.load(Split.TEST).batches(task), task), task)


def _decisive(figures: dict[str, float], task: Task) -> float:
    decisive = figures[DECIDING_MEASURE[task]]
    return decisive if task is Task.CLASSIFICATION else 100.0 - decisive


def _values(key: TeacherKey, teacher: KnownTeacher, task: Task, encoding: Encoding) -> dict[str, float]:
    """Return the error of the route in percent (of segmentation 100 - IoU), and the bytes of f and g."""
    parts = (teacher.category_module, teacher.task_module(task))
    route = nn.Sequential(*(as_received(part, encoding) for part in parts)).eval()
    figures = measure(route, key.site.load(Split.TEST).batches(task), task)
    return {
        "encoding_error": _decisive(figures, task),
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
        "bytes" if metric == "encoding_bytes" else "percent",
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
    names = ("category", "into", "seed", "task", "encoding", "error %", "more than f32", "bytes", "of f32")
    for name in names:
        table.add_column(name)
    sizes = {(r.category, r.seed, r.task, r.method): r for r in records if r.metric == "encoding_bytes"}
    for record in records:
        if record.metric not in ("encoding_error", _ROUTE):
            continue
        size = sizes[record.category, record.seed, record.task, record.method]
        table.add_row(
            record.category,
            record.host or "its own",
            str(record.seed),
            record.task,
            record.method,
            f"{record.value:.2f}",
            f"{record.value - (record.baseline or 0.0):+.2f}",
            f"{size.value:,.0f}",
            f"{size.ratio or 0.0:.3f}",
        )
    return table
