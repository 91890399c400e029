"""Jobs one after another in this process or side by side on Ray; each outcome is kept and shown at once."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.records import Record
from transplant.errors import InvalidSettings, TransplantError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from rich.console import Console

    from benchmarks.records import RecordBook

    Do = Callable[[str, int], str]
    """(line, computing threads) -> outcome; a function of a module, so that a worker finds it by its name."""


class Job(Protocol):
    """A piece of work that a worker is told as text."""

    def to_json(self) -> str:
        """Return one line of text."""
        ...

    def sentence(self) -> str:
        """Return a few words for a line of progress."""
        ...


J = TypeVar("J", bound=Job)


def check_counts(workers: int, threads: int) -> None:
    """Refuse to do jobs by nobody.

    Raises:
        InvalidSettings: naming the flag.
    """
    for flag, value in (("--workers", workers), ("--threads", threads)):
        if value < 1:
            raise InvalidSettings(f"{flag} must be at least 1; got {value}")


def outcome_of(measure: Callable[[], Sequence[Record]]) -> str:
    """Return what a job came to as JSON.

    Returns:
        {"records": [...]} or, where an expected error ended the job, {"fault": "Code: sentence"}.
    """
    try:
        records = measure()
    except TransplantError as error:
        return json.dumps({"fault": f"{error.code()}: {error}"})
    return json.dumps({"records": [json.loads(record.to_json()) for record in records]})


def run_jobs(
    do: Do,
    batches: Sequence[Sequence[J]],
    book: RecordBook,
    console: Console,
    said: Callable[[J, Sequence[Record]], str],
    *,
    workers: int,
    threads: int,
) -> tuple[str, ...]:
    """Do the jobs, batch after batch; one that fails is told, and the others go on.

    Args:
        do: does one.
        batches: jobs of one batch may run side by side; there is at least one job.
        book: takes the records of a job as soon as it ends.
        console: where progress is shown.
        said: (job, its records) -> a line of progress.
        workers: jobs side by side; 1 runs them in this process, without Ray.
        threads: computing threads of each job (sums over several threads are not reproducible).

    Returns:
        What went wrong, a sentence a job.
    """
    faults: list[str] = []
    total, widest = sum(map(len, batches)), max(map(len, batches))
    with _shown(console, total) as tell, _engine(do, min(workers, widest), threads) as engine:
        for batch in batches:
            for place, outcome in engine.run([job.to_json() for job in batch]):
                job, told = batch[place], json.loads(outcome)
                if "fault" in told:
                    faults.append(f"{job.sentence()}: {told['fault']}")
                    tell(f"FAILED {faults[-1]}")
                    continue
                records = [Record(**record) for record in told["records"]]
                for record in records:
                    book.add(record)
                tell(said(job, records))
    return tuple(faults)


class _Here:
    """The engine of one worker: jobs one after another in this process."""

    def __init__(self, do: Do, threads: int) -> None:
        self._do = do
        self._threads = threads

    def run(self, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Yield (place in `lines`, outcome) as jobs end."""
        for place, line in enumerate(lines):
            yield place, self._do(line, self._threads)


class _Engine(Protocol):
    """Does jobs, in whatever order they end."""

    def run(self, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Yield (place in `lines`, outcome) as jobs end."""
        ...


@contextmanager
def _engine(do: Do, workers: int, threads: int) -> Generator[_Engine]:
    if workers == 1:
        yield _Here(do, threads)
        return
    from benchmarks.quality.ray_workers import RayWorkers  # Ray takes seconds to import

    with RayWorkers(do, workers, threads) as engine:
        yield engine


@contextmanager
def _shown(console: Console, total: int) -> Generator[Callable[[str], None]]:
    """Give a function that tells one line an ended job: above a bar on a terminal, with a count elsewhere."""
    began_s = time.monotonic()
    done = 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        row = bar.add_task("jobs", total=total)

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
