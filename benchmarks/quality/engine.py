"""Run the cells of a plan that are not finished: teachers first, then adapters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.quality.side_by_side import run_jobs
from benchmarks.quality.teachers import is_trained
from benchmarks.quality.work import Job, work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from benchmarks.quality.cells import Cell
    from benchmarks.quality.run_cell import Setting
    from benchmarks.records import Record, RecordBook


@dataclass(frozen=True)
class Ran:
    """How many teachers and cells were run, and what went wrong with which."""

    teachers: int
    cells: int
    faults: tuple[str, ...]


def unfinished(cells: Sequence[Cell], book: RecordBook) -> list[Cell]:
    """Return the cells of which a measure is missing, in their order."""
    return [cell for cell in cells if not all(book.has(record) for record in cell.expected())]


def teacher_jobs(cells: Sequence[Cell], setting: Setting) -> list[Job]:
    """Return one job for each teacher that these cells need and that is not there yet."""
    jobs: dict[str, Job] = {}
    for cell in cells:
        for category in (cell.host, cell.category):
            key = setting.teacher_key(cell, category)
            if key.digest not in jobs and not is_trained(key, setting.teachers):
                jobs[key.digest] = Job(cell, setting, category)
    return list(jobs.values())


def run_cells(
    cells: Sequence[Cell],
    setting: Setting,
    book: RecordBook,
    console: Console,
    *,
    workers: int,
    threads: int,
) -> Ran:
    """Run what is not finished; a cell that fails is told and the others go on.

    Args:
        cells: the plan's cells.
        setting: what holds for all of them.
        book: takes every record as soon as its cell ends.
        console: where progress is shown.
        workers: jobs side by side.
        threads: computing threads of each job.
    """
    left = unfinished(cells, book)
    teaching = teacher_jobs(left, setting)
    jobs = [Job(cell, setting) for cell in left]
    if not jobs:
        return Ran(0, 0, ())
    lending, borrowing = ([job for job in teaching if job.borrows is so] for so in (False, True))
    faults = run_jobs(
        work, (lending, borrowing, jobs), book, console, _said, workers=workers, threads=threads
    )
    return Ran(len(teaching), len(jobs), faults)


def _said(job: Job, records: Sequence[Record]) -> str:
    if not records:
        return f"{job.sentence()}: trained"
    first = records[0]
    return (
        f"{job.sentence()}: {first.metric} {first.value:.2f} % (teacher {first.teacher:.2f}, floor "
        f"{first.floor:.2f}), {first.seconds:.1f} s"
    )
