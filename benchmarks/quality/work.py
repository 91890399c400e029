"""One piece of work as text: what a worker is told, what it does, and what it answers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.quality.cells import Cell
from benchmarks.quality.run_cell import Setting, run_cell
from benchmarks.quality.side_by_side import outcome_of
from benchmarks.quality.teachers import train_teacher
from transplant.nets.allocator import keep_freed_memory

if TYPE_CHECKING:
    from benchmarks.records import Record


@dataclass(frozen=True)
class Job:
    """Train the teacher of `category` for `cell`, or, where `category` is None, run the cell itself."""

    cell: Cell
    setting: Setting
    category: str | None = None

    def to_json(self) -> str:
        """Return one line of text."""
        setting = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self.setting).items()
        }
        return json.dumps({"cell": self.cell.to_dict(), "setting": setting, "category": self.category})

    @classmethod
    def from_json(cls, line: str) -> Job:
        """Rebuild from `to_json`."""
        content: dict[str, Any] = json.loads(line)
        setting = content["setting"]
        for name in ("out", "data_root", "proxy"):
            setting[name] = None if setting[name] is None else Path(setting[name])
        return cls(Cell.from_dict(content["cell"]), Setting(**setting), content["category"])

    @property
    def borrows(self) -> bool:
        """Tell whether this trains a teacher that needs another one to be trained before."""
        if self.category is None:
            return False
        return self.setting.teacher_key(self.cell, self.category).lender is not None

    def sentence(self) -> str:
        """Return a few words for a line of progress."""
        if self.category is None:
            return self.cell.sentence()
        if self.category != self.cell.host and self.cell.teacher_images is not None:
            transfer = self.cell.teacher_transfer or "none"
            return (
                f"teacher of {self.category} with {self.cell.teacher_images} images, transfer {transfer}, "
                f"seed {self.cell.seed}"
            )
        return f"teacher of {self.category}, {self.cell.data}, {self.cell.arch}, seed {self.cell.seed}"


def work(line: str, threads: int) -> str:
    """Do a job in this process and return its outcome as JSON."""
    import torch

    torch.set_num_threads(threads)
    keep_freed_memory()
    job = Job.from_json(line)
    return outcome_of(lambda: _measured(job))


def _measured(job: Job) -> list[Record]:
    """Return the records of a cell; a teacher has none."""
    if job.category is None:
        return run_cell(job.cell, job.setting)
    train_teacher(job.setting.teacher_key(job.cell, job.category), job.setting.teachers)
    return []
