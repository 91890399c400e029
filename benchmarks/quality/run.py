"""One run of a quality bench, from its plan to its records."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.machine import this_machine
from benchmarks.quality.engine import run_cells, unfinished
from benchmarks.quality.folder import claim_folder, note_run
from benchmarks.quality.plan import planned
from benchmarks.quality.proxy import PACK
from benchmarks.quality.run_cell import Setting
from benchmarks.quality.side_by_side import check_counts
from benchmarks.records import RecordBook
from transplant.errors import BenchmarkFailed, InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from benchmarks.quality.engine import Ran
    from benchmarks.quality.plan import Plan


def needs_packs(plan: Plan, proxy: Path | None) -> bool:
    """Tell whether a plan reads the data packs at all: drawn scenes alone do not."""
    return plan.data != "scenes" or (proxy is None and "proxy" in plan.disclosures)


def run_quality(
    plan: Plan,
    out: Path,
    console: Console,
    *,
    data_root: Path,
    proxy: Path | None,
    workers: int,
    threads: int,
    command: str,
) -> Ran:
    """Run every cell of a plan that `out` has not yet.

    Args:
        plan: checked.
        out: folder of records, teachers and what pictures need.
        console: where progress is shown.
        data_root: folder of the data packs.
        proxy: public unlabelled images; None: the Tiny ImageNet pack, if a cell needs any.
        workers: jobs side by side.
        threads: of each job.
        command: what was typed, for the list of runs.

    Raises:
        InvalidSettings: for no workers or no threads.
        BenchmarkFailed: if the folder belongs to other settings, or cells failed (all of them named).
    """
    check_counts(workers, threads)
    if plan.device is not None and workers > 1:
        raise InvalidSettings(f"--device {plan.device} is for one worker; got --workers {workers}")
    grid = planned(plan)
    machine = this_machine()
    images = proxy if proxy is not None else data_root / PACK
    setting = Setting(
        out=out.absolute(),
        data_root=data_root.absolute(),
        proxy=images.absolute() if any(cell.disclosure == "proxy" for cell in grid.cells) else None,
        epochs=plan.epochs,
        steps=plan.steps,
        precision=plan.precision,
        picture_seed=min(plan.seeds),
        commit=machine.commit,
    )
    claim_folder(plan, setting)
    book = RecordBook(out)
    for reason in grid.skipped:
        console.print(f"skipped: {reason}", markup=False, highlight=False)
    left = len(unfinished(grid.cells, book))
    console.print(f"{len(grid.cells)} cells, {len(grid.cells) - left} finished before", highlight=False)
    began_s = time.monotonic()
    ran = run_cells(grid.cells, setting, book, console, workers=workers, threads=threads)
    if ran.teachers or ran.cells:
        note_run(
            setting.out, command=command, machine=machine.sentence(), bench=plan.bench.value, data=plan.data,
            seeds=list(plan.seeds), cells=ran.cells - len(ran.faults), workers=workers, threads=threads,
            seconds=round(time.monotonic() - began_s, 1),
        )  # fmt: skip
    if ran.faults:
        raise BenchmarkFailed("\n  ".join([f"{len(ran.faults)} cells or teachers failed:", *ran.faults]))
    return ran
