"""Records of several seeds as one figure with its interval, and records of one table as rows and columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.journey.pictures import wilson_interval
from benchmarks.quality.cells import METRICS, Bench
from benchmarks.records import QUALITY_BENCHES
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.records import Record

_HOST_BY_CATEGORY = ("exp1", "table4")
_SHARES = ("error", "accuracy")  # of images, each of which is right or wrong by itself


@dataclass(frozen=True)
class Summary:
    """A mean with what it was taken over.

    Args:
        mean: of the records' values.
        low: lower end of the 95 % Wilson interval (errors and accuracies, images pooled over all records),
            or the smallest value (everything else: pixels of one image are not independent).
        high: the upper end, or the largest value.
        records: how many records.
    """

    mean: float
    low: float
    high: float
    records: int

    def text(self) -> str:
        """Return the mean with its interval."""
        return f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class TableKey:
    """What is the same for all records of one table. `host` is None where it goes with the category."""

    bench: str
    data: str
    arch: str
    task: str
    metric: str
    host: str | None
    layers: int | None
    kernel: int | None

    def title(self) -> str:
        """Return a heading."""
        adapter = "" if self.layers is None else f", {self.layers} conv-layers of {self.kernel}x{self.kernel}"
        one_host = "" if self.host is None else f" into {self.host}"
        host = " into leave-one-out hosts" if self.bench == Bench.TABLE4 else one_host
        return (
            f"{self.metric.replace('_', ' ')} (%) of {self.task} on {self.data}{host}, {self.arch}{adapter}"
        )


def summarise(records: Sequence[Record]) -> Summary:
    """Return the mean of the records' values with its interval."""
    values = [record.value for record in records]
    mean = sum(values) / len(values)
    counts = [record.image_count for record in records]
    if records[0].metric in _SHARES and all(counts):
        images = sum(count for count in counts if count)
        share = sum(record.value * (record.image_count or 0) for record in records) / images
        low, high = wilson_interval(share, images)
        return Summary(mean, low, high, len(records))
    return Summary(mean, min(values), max(values), len(records))


def tables_of(records: Iterable[Record]) -> dict[TableKey, list[Record]]:
    """Sort the records that are compared with teachers into tables, in the order of the experiments.

    Those of teachers that had few images, or borrowed, have tables of their own (`few_table`).
    """
    tables: dict[TableKey, list[Record]] = {}
    for record in records:
        if record.bench not in QUALITY_BENCHES or record.task is None:
            continue
        if record.metric not in METRICS[Task(record.task)]:
            continue
        if is_of_few(record):
            continue
        tables.setdefault(table_key(record), []).append(record)
    return dict(sorted(tables.items(), key=lambda item: _order(item[0])))


def is_of_few(record: Record) -> bool:
    """Tell whether a record is of a teacher that had few images, or borrowed."""
    return record.teacher_images is not None or record.teacher_transfer is not None


def table_key(record: Record) -> TableKey:
    """Return which table a record belongs to; ablations have one for all their factors."""
    varied = record.bench == Bench.ABLATION
    return TableKey(
        record.bench,
        record.data or "",
        record.arch or "",
        record.task or "",
        record.metric,
        None if varied or record.bench in _HOST_BY_CATEGORY else record.host,
        None if varied else record.layers,
        None if varied else record.kernel,
    )


def row_label(record: Record) -> str:
    """Return the method with everything else that was chosen for the row."""
    known = [] if record.disclosure in (None, "none") else [record.disclosure]
    known += [f"ship {record.ship}"] if record.ship else []
    known += [record.source] if record.source else []
    if record.bench == Bench.ABLATION:
        known += [f"{record.layers} layers", f"{record.kernel}x{record.kernel}", f"into {record.host}"]
    known += [f"{record.synthetic_images} synthetic"] if record.synthetic_images else []
    known += [f"teachers of {record.teacher_images} images"] if record.teacher_images else []
    known += [f"transfer {record.teacher_transfer}"] if record.teacher_transfer else []
    known += [f"on {record.device}"] if record.device else []
    return f"{record.method} ({', '.join(known)})" if known else str(record.method)


def rows_of(records: Iterable[Record]) -> dict[tuple[int, str], list[Record]]:
    """Return the rows (samples, label), most samples first as in the paper, methods as they were run."""
    rows: dict[tuple[int, str], list[Record]] = {}
    for record in records:
        rows.setdefault((record.samples or 0, row_label(record)), []).append(record)
    return dict(sorted(rows.items(), key=lambda item: -item[0][0]))


def categories_of(records: Iterable[Record]) -> list[str]:
    """Return the columns, in the order of running."""
    return list(dict.fromkeys(record.category or "" for record in records))


def _order(key: TableKey) -> tuple[object, ...]:
    metrics = METRICS[Task(key.task)]
    return (
        QUALITY_BENCHES.index(key.bench), key.data, key.arch, key.task, key.host or "", key.layers or 0,
        key.kernel or 0, metrics.index(key.metric),
    )  # fmt: skip
