"""What both benches of teachers from little data do alike: jobs as text, and a run of those not done yet."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from benchmarks.quality.folder import note_run
from benchmarks.quality.side_by_side import run_jobs
from transplant.errors import BenchmarkFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from benchmarks.machine import Machine
    from benchmarks.quality.side_by_side import Do
    from benchmarks.records import Record, RecordBook

_FOLDERS = ("out", "data_root")


@dataclass(frozen=True)
class TransferJob(ABC):
    """A cell as a worker is told it; the source nets lie in `out`. Subclasses have a field `plan`.

    Args:
        out: folder of the run.
        data_root: folder of the data packs.
        commit: of the code, for the record.
    """

    out: Path
    data_root: Path
    commit: str

    @staticmethod
    @abstractmethod
    def plan_of(fields: dict[str, Any]) -> Any:
        """Return the plan whose fields these are."""

    @abstractmethod
    def record(self) -> Record:
        """Return the cell's record, before its value."""

    @abstractmethod
    def sentence(self) -> str:
        """Return a few words for a line of progress."""

    def to_json(self) -> str:
        """Return one line of text."""
        content = asdict(self)
        return json.dumps(content | {name: str(content[name]) for name in _FOLDERS})

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Rebuild from `to_json`."""
        content: dict[str, Any] = json.loads(line)
        plan: dict[str, Any] = content["plan"]
        lists = {name: tuple(each) for name, each in plan.items() if isinstance(each, list)}
        folders = {name: Path(content[name]) for name in _FOLDERS}
        return cls(**(content | folders | {"plan": cls.plan_of(plan | lists)}))


J = TypeVar("J", bound=TransferJob)


def run_unfinished(
    do: Do,
    jobs: Sequence[J],
    lend: Callable[[], None],
    said: Callable[[J, Sequence[Record]], str],
    book: RecordBook,
    console: Console,
    machine: Machine,
    *,
    workers: int,
    threads: int,
    **facts: Any,
) -> int:
    """Do the jobs that `book` has no record of; return how many.

    Args:
        do: does one.
        jobs: of all cells.
        lend: trains the source nets; called if there is anything to do.
        said: (job, its records) -> a line of progress.
        book: of the folder.
        console: where progress is shown.
        machine: for the list of runs.
        workers: jobs side by side.
        threads: computing threads of each.
        facts: what else the list of runs tells.

    Raises:
        BenchmarkFailed: if cells failed, all of them named.
    """
    began_s = time.monotonic()
    left = [job for job in jobs if not book.has(job.record())]
    if not left:
        return 0
    lend()
    faults = run_jobs(do, [left], book, console, said, workers=workers, threads=threads)
    note_run(
        book.path.parent, **facts, machine=machine.sentence(), cells=len(left) - len(faults),
        workers=workers, threads=threads, seconds=round(time.monotonic() - began_s, 1),
    )  # fmt: skip
    if faults:
        raise BenchmarkFailed("\n  ".join([f"{len(faults)} cells failed:", *faults]))
    return len(left)
