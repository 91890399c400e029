"""What a site sends for one category, byte by byte: its task modules, or answers to the center's probes.

Nothing is trained or timed. f and the answers are sealed as a site seals them, payload and manifest, for the
probe that a center asks by default; the size of a payload does not depend on the values in it. Of task
modules, which may take half a gigabyte each, the layout is counted instead.
"""

from __future__ import annotations

import time
from math import prod
from typing import TYPE_CHECKING

import torch
from rich.table import Table

from benchmarks.journey.table import byte_text
from benchmarks.machine import this_machine
from benchmarks.quality.folder import note_cases
from benchmarks.records import SHIPPING_BENCH as BENCH
from benchmarks.records import Record, RecordBook
from central.usecases.center import ProbePolicy
from transplant.artifact.codec import seal
from transplant.artifact.disclosed import seal_answers
from transplant.datafree.procedural_images import GENERATOR_ID
from transplant.nets.architecture_table import DEFAULT, image_px
from transplant.nets.architectures import build_category_module, tensor_layout
from transplant.nets.disclosures import ProbeAnswers, ProbeRequest
from transplant.types import ModuleKind, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from rich.console import Console

    from transplant.types import Architecture

METRIC = "outputs_bytes"
_FLOAT_BYTES = 4
_CHOICES = (*((task,) for task in Task), tuple(Task))


def run_shipping(out: Path, console: Console, *, command: str) -> None:
    """Count what is not counted yet for every default architecture, and show all of it."""
    machine = this_machine()
    book = RecordBook(out)
    began_s, ran = time.monotonic(), 0
    for arch in DEFAULT:
        for record in counted(arch, machine.commit):
            ran += not book.has(record)
            book.add(record)
    console.print(_table(shipping_records(book)))
    note_cases(out, machine, command, ran, began_s)


def counted(arch: str, commit: str) -> list[Record]:
    """Return, for each task and for both of one category, the bytes of `ship = outputs` beside `modules`."""
    architecture = DEFAULT[arch]
    f, answers = _outputs(architecture)
    records: list[Record] = []
    for tasks in _CHOICES:
        outputs = f + sum(answers[task] for task in tasks)
        modules = f + sum(_task_module(architecture, task) for task in tasks)
        records.append(
            Record(
                BENCH,
                METRIC,
                float(outputs),
                "bytes",
                arch=arch,
                method="f and answers to the default probe",
                task=_named(tasks),
                ship="outputs",
                baseline=float(modules),
                ratio=outputs / modules,
                commit=commit,
            )
        )
    return records


def shipping_records(records: Iterable[Record]) -> list[Record]:
    """Return the records of this bench."""
    return [record for record in records if (record.bench, record.metric) == (BENCH, METRIC)]


def shipping_rows(records: Iterable[Record]) -> list[tuple[str, ...]]:
    """Return architecture, tasks, bytes of outputs and of modules, and their ratio, as text."""
    return [
        (
            record.arch or "",
            record.task or "",
            byte_text(int(record.value)),
            byte_text(int(record.baseline or 0)),
            f"1/{1 / record.ratio:,.0f}" if record.ratio else "",
        )
        for record in records
    ]


HEADER = ("arch", "tasks of the category", "f and answers", "f and task modules", "share")


def _outputs(architecture: Architecture) -> tuple[int, dict[Task, int]]:
    """Return the bytes of f, and those of the answers for each task."""
    manifest, payload = seal(
        build_category_module(architecture),
        site="site",
        category="category",
        kind=ModuleKind.CATEGORY,
        task=None,
        architecture=architecture,
    )
    answers: dict[Task, int] = {}
    for task in Task:
        told, answered = seal_answers(_answers(architecture, task), manifest)
        answers[task] = len(answered) + len(told.canonical_bytes())
    return len(payload) + len(manifest.canonical_bytes()), answers


def _answers(architecture: Architecture, task: Task) -> ProbeAnswers:
    policy, px = ProbePolicy(), image_px(architecture)
    pool, count = policy.asked(task, px)
    grid = policy.grid if task is Task.SEGMENTATION else 1
    request = ProbeRequest(GENERATOR_ID, 0, pool, count, px, policy.drawings_percent, grid, task)
    side = (grid, grid) if task is Task.SEGMENTATION else ()
    chosen = torch.arange(count, dtype=torch.int32)
    return ProbeAnswers(request, chosen, torch.zeros(count, *side, dtype=torch.uint8), -1.0, 1.0)


def _task_module(architecture: Architecture, task: Task) -> int:
    layout = tensor_layout(architecture, ModuleKind.TASK, task)
    return _FLOAT_BYTES * sum(prod(shape) for shape in layout.values())


def _named(tasks: Sequence[Task]) -> str:
    return ",".join(task.value for task in tasks)


def _table(records: Iterable[Record]) -> Table:
    table = Table(*HEADER)
    for row in shipping_rows(records):
        table.add_row(*row)
    return table
