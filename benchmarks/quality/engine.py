"""Run the cells of a plan that are not finished: teachers first, then adapters, each outcome kept at once."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.quality.teachers import is_trained
from benchmarks.quality.work import Job, work
from benchmarks.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from rich.console import Console

    from benchmarks.quality.cells import Cell
    from benchmarks.quality.run_cell import Setting
    from benchmarks.records import RecordBook


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
        workers: jobs side by side; 1 runs them in this process, without Ray.
        threads: computing threads of each job (sums over several threads are not reproducible).
    """
    left = unfinished(cells, book)
    teaching = teacher_jobs(left, setting)
    jobs = [Job(cell, setting) for cell in left]
    faults: list[str] = []
    if not jobs:
        return Ran(0, 0, ())
    with (
        _shown(console, len(teaching) + len(jobs)) as tell,
        _engine(min(workers, max(len(teaching), len(jobs))), threads) as engine,
    ):
        lending = [job for job in teaching if not job.borrows]
        for batch in (lending, [job for job in teaching if job.borrows], jobs):
            for place, outcome in engine.run([job.to_json() for job in batch]):
                job, told = batch[place], json.loads(outcome)
                if "fault" in told:
                    faults.append(f"{job.sentence()}: {told['fault']}")
                    tell(f"FAILED {faults[-1]}")
                    continue
                records = [Record(**record) for record in told["records"]]
                for record in records:
                    book.add(record)
                tell(_said(job, records))
    return Ran(len(teaching), len(jobs), tuple(faults))


class _Here:
    """The engine of one worker: jobs one after another in this process."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def run(self, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Yield (place in `lines`, outcome) as jobs end."""
        for place, line in enumerate(lines):
            yield place, work(line, self._threads)


class _Engine(Protocol):
    """Does jobs, in whatever order they end."""

    def run(self, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Yield (place in `lines`, outcome) as jobs end."""
        ...


@contextmanager
def _engine(workers: int, threads: int) -> Generator[_Engine]:
    if workers == 1:
        yield _Here(threads)
        return
    from benchmarks.quality.ray_workers import RayWorkers  # Ray takes seconds to import

    with RayWorkers(workers, threads) as engine:
        yield engine


def _said(job: Job, records: Sequence[Record]) -> str:
    if not records:
        return f"{job.sentence()}: trained"
    first = records[0]
    return (
        f"{job.sentence()}: {first.metric} {first.value:.2f} % (teacher {first.teacher:.2f}, floor "
        f"{first.floor:.2f}), {first.seconds:.1f} s"
    )


@contextmanager
def _shown(console: Console, total: int) -> Generator[Callable[[str], None]]:
    """Give a function that tells one line an ended job: above a bar on a terminal, with a count elsewhere."""
    began_s = time.monotonic()
    done = 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        row = bar.add_task("teachers and cells", total=total)

        def tell(sentence: str) -> None:
            nonlocal done
            done += 1
            bar.advance(row)
            console.print(
                f"[{time.monotonic() - began_s:7.1f} s] {done}/{total} {sentence}",
                markup=False,
                highlight=False,
            )

        yield tell
