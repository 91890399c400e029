"""What the sites measured, as rows: read from their reports, written to report.json and records.jsonl."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.records import Record
from transplant.errors import BenchmarkFailed
from transplant.nets.measures import share_closed
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

# The measures a reader of the table sees, and whether a larger value is better.
METRICS = {
    Task.CLASSIFICATION: {"error": False},
    Task.SEGMENTATION: {"pixel_accuracy": True, "iou": True, "mean_iou": True},
}


@dataclass(frozen=True)
class Figure:
    """One measure of one route on its site's own test images, beside its teacher and its floor (percent)."""

    site: str
    category: str
    task: str
    metric: str
    teacher: float
    transplanted: float
    floor: float
    sample_count: int
    bytes_shipped: int
    raw_bytes_kept: int
    founder: bool

    @property
    def closed(self) -> float:
        """Return which share of the distance from the floor to the teacher the route closes."""
        return share_closed(
            self.teacher, self.transplanted, self.floor, larger_is_better=self.larger_is_better
        )

    @property
    def larger_is_better(self) -> bool:
        """Tell the direction of this measure."""
        return METRICS[Task(self.task)][self.metric]

    @property
    def teacher_learned(self) -> bool:
        """Tell whether the teacher is better than its floor at all."""
        return (self.teacher > self.floor) if self.larger_is_better else (self.teacher < self.floor)


@dataclass(frozen=True)
class SiteReport:
    """What one site's agent wrote down at its end; `missing` are its tasks without a published route."""

    site: str
    category: str
    version: int
    figures: tuple[Figure, ...]
    missing: tuple[str, ...]


def read_site_report(path: Path, founder: str) -> SiteReport:
    """Read a site's `report.json`.

    Raises:
        BenchmarkFailed: if it is missing, or lacks a figure.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        figures = tuple(
            Figure(
                site=content["site"],
                category=content["category"],
                task=str(route["task"]),
                metric=metric,
                teacher=float(route["teacher"][metric]),
                transplanted=float(route["transplanted"][metric]),
                floor=float(route["floor"][metric]),
                sample_count=int(route["sample_count"]),
                bytes_shipped=int(content["bytes_shipped"]),
                raw_bytes_kept=int(content["raw_bytes_kept"]),
                founder=content["category"] == founder,
            )
            for route in content["routes"]
            if route["transplanted"]
            for metric in METRICS[Task(route["task"])]
        )
        missing = tuple(
            f"{content['site']} {route['task']}: no route was published ({route.get('state') or 'no merge'})"
            for route in content["routes"]
            if not route["transplanted"]
        )
        return SiteReport(content["site"], content["category"], int(content["version"]), figures, missing)
    except FileNotFoundError as fault:
        raise BenchmarkFailed(f"{path} is missing: the site did not finish") from fault
    except (ValueError, KeyError, TypeError) as fault:
        raise BenchmarkFailed(f"{path} is not a site's report: {fault!r}") from fault


def missed_bars(figures: Iterable[Figure]) -> list[str]:
    """Return each transplanted route that does not halve the distance from its floor to its teacher."""
    missed: list[str] = []
    for figure in figures:
        if figure.founder:
            continue
        values = (
            f"{figure.site} {figure.task} {figure.metric}: teacher {figure.teacher:.2f}, "
            f"transplanted {figure.transplanted:.2f}, floor {figure.floor:.2f}"
        )
        if not figure.teacher_learned:
            missed.append(f"{values}: the teacher is no better than its floor, nothing is shown")
        elif figure.closed < 0.5:
            missed.append(f"{values}: closes {100 * figure.closed:.0f} % of the distance, the bar is 50 %")
    return missed


def report_document(
    figures: Sequence[Figure], *, unchanged: bool, versions: int, seconds: float
) -> dict[str, Any]:
    """Return `report.json` in the one format that every journey writes."""
    names = (
        "site", "category", "task", "metric", "teacher", "transplanted", "floor", "bytes_shipped",
        "raw_bytes_kept",
    )  # fmt: skip
    rows = [{name: asdict(figure)[name] for name in names} for figure in figures]
    return {"routes": rows, "unchanged": unchanged, "versions": versions, "seconds": round(seconds, 1)}


def records_of(figures: Iterable[Figure], common: dict[str, Any]) -> Iterable[Record]:
    """Yield one record a figure; `common` holds what is the same for all (data, seed, commit ...)."""
    for figure in figures:
        yield Record(
            bench="journey",
            metric=figure.metric,
            value=figure.transplanted,
            unit="percent",
            category=figure.category,
            task=figure.task,
            method="founder" if figure.founder else "transplanted",
            samples=0,
            teacher=figure.teacher,
            floor=figure.floor,
            **common,
        )
    for site in {figure.site: figure for figure in figures}.values():
        for metric, value in (("bytes_shipped", site.bytes_shipped), ("raw_bytes_kept", site.raw_bytes_kept)):
            yield Record(
                bench="journey", metric=metric, value=value, unit="bytes", category=site.category, **common
            )


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".part")
    half.write_text(text, encoding="utf-8")
    os.replace(half, path)  # noqa: PTH105 - the atomic one by its own name
