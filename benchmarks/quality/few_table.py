"""Teachers of few images, with and without transfer, and the routes that were transplanted from them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.quality.cells import METRICS
from benchmarks.quality.summary import is_of_few, summarise, table_key
from benchmarks.quality.tables import table_line
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.quality.summary import TableKey
    from benchmarks.records import Record

_TITLE = "## Teachers of few images"
_READING = (
    "How a site's teacher was trained, from how many images with its category (and as many without), and "
    "what became of it: the teacher's own figure on the whole test split, and that of the route that was "
    "learned from it. A teacher that borrows does so from the host's, which had all of its images."
)


def few_parts(records: Iterable[Record]) -> list[str]:
    """Return the section of the page, or nothing where no teacher had few images."""
    tables: dict[TableKey, list[Record]] = {}
    for record in records:
        if is_of_few(record) and record.task and record.metric in METRICS[Task(record.task)]:
            tables.setdefault(table_key(record), []).append(record)
    if not tables:
        return []
    parts = [_TITLE, _READING]
    for key, mine in tables.items():
        parts += [f"### {key.title()}", few_table(mine)]
    return parts


def few_table(records: Sequence[Record]) -> str:
    """Return one table: images and transfer down; the teacher's figure and each method's route across."""
    methods = list(dict.fromkeys((record.method or "", record.samples or 0) for record in records))
    header = ["images", "transfer", "teacher"]
    header += [f"{method}, {samples} labels" for method, samples in methods] + ["categories x seeds"]
    lines = [table_line(header), "|---:|:---|" + "---:|" * (len(header) - 2)]
    rows: dict[tuple[float, str], list[Record]] = {}
    for record in records:
        images = float("inf") if record.teacher_images is None else record.teacher_images
        rows.setdefault((images, record.teacher_transfer or "none"), []).append(record)
    for (images, transfer), row in sorted(rows.items(), key=lambda item: item[0][0]):
        cells = ["all" if images == float("inf") else str(int(images)), transfer, _teachers(row)]
        for wanted in methods:
            of_method = [each for each in row if (each.method, each.samples or 0) == wanted]
            cells.append(summarise(of_method).text() if of_method else "-")
        cells.append(str(len({(each.category, each.seed) for each in row})))
        lines.append(table_line(cells))
    return "\n".join(lines)


def _teachers(row: Sequence[Record]) -> str:
    """Summarise the teachers' own figures, each teacher once."""
    once = {(each.category, each.seed): each for each in row if each.teacher is not None}
    own = [replace(each, value=each.teacher or 0.0) for each in once.values()]
    return summarise(own).text() if own else "-"
