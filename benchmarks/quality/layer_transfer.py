"""Figures 2 to 5 of Gutstein, Fuentes and Freudenthal 2007: accuracy against the number of retained layers.

One source net learns 20 classes; each trial draws images of 20 other classes, random target vectors and fresh
weights, and trains with 0 to 5 layers retained, and with as many as validation on the trial's own images
chooses ("auto"). Trials are the records' seeds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save

from benchmarks.machine import this_machine
from benchmarks.quality.characters import source_characters
from benchmarks.quality.cost import Meter
from benchmarks.quality.folder import claim_settings
from benchmarks.quality.layer_transfer_cell import LayerTransferJob, work
from benchmarks.quality.layer_transfer_plan import (
    BENCH,
    LEARNING_RATE,
    PROFILES,
    TRAINING,
    LayerTransferPlan,
    source_path,
)
from benchmarks.quality.transfer_run import run_unfinished
from benchmarks.records import Record, RecordBook
from transplant.artifact.digest import derive_seed
from transplant.artifact.durable_file import write_durably
from transplant.errors import InvalidSettings
from transplant.transfer.layer_transfer import LayerTransferConfig, LayerTransferProblem, accuracy, run
from transplant.transfer.lenet import LAYERS, lenet, target_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console


def run_layer_transfer(
    plan: LayerTransferPlan,
    out: Path,
    console: Console,
    *,
    data_root: Path,
    workers: int,
    threads: int,
    command: str,
) -> int:
    """Run every cell that `out` has not yet; return how many were run.

    Args:
        plan: what to run.
        out: folder of the records and the source net.
        console: where progress is shown.
        data_root: folder of the data packs.
        workers: cells side by side.
        threads: computing threads of each.
        command: what was typed, for the list of runs.

    Raises:
        InvalidSettings: for numbers that cannot be.
        BenchmarkFailed: if the folder belongs to other settings, or cells failed (all of them named).
    """
    if plan.profile not in PROFILES:
        raise InvalidSettings(f"{BENCH} runs with --profile {', '.join(PROFILES)}; got {plan.profile!r}")
    wrong = [n for n in plan.retained if n is not None and not 0 <= n < len(LAYERS)]
    if wrong:
        raise InvalidSettings(
            f"--retained takes 0 to {len(LAYERS) - 1} and auto; got {', '.join(map(str, wrong))}"
        )
    if not plan.samples or min(plan.samples) < 1:
        raise InvalidSettings(f"--samples takes 1 and more; got {', '.join(map(str, plan.samples))}")
    torch.set_num_threads(threads)
    claim_settings(out, f"{BENCH}/{plan.data}", plan.settings())
    book, machine = RecordBook(out), this_machine()
    jobs = [
        LayerTransferJob(out.absolute(), data_root.absolute(), machine.commit, plan, samples, trial, retained)
        for trial in plan.trials
        for samples in plan.samples
        for retained in plan.retained
    ]
    return run_unfinished(
        work, jobs, lambda: _train_source(plan, out, book, data_root, console, machine.commit), _said,
        book, console, machine, workers=workers, threads=threads, command=command, bench=BENCH,
        data=plan.data, seeds=list(plan.trials),
    )  # fmt: skip


def _said(job: LayerTransferJob, records: Sequence[Record]) -> str:
    chose = "" if len(records) == 1 else f" (chose {records[0].value:.0f})"
    return f"{job.sentence()}{chose}: {records[-1].value:.1f} %"


def _train_source(
    plan: LayerTransferPlan, out: Path, book: RecordBook, data_root: Path, console: Console, commit: str
) -> None:
    """Train the source net on its 20 classes, unless it is there, and record its accuracy.

    That is the accuracy on what it was trained on, as the paper's 94.38 % is: no picture of these classes is
    left over, the packs have fewer than the 400 of each.
    """
    path = source_path(out, plan)
    if path.is_file():
        return
    generator = torch.Generator().manual_seed(derive_seed("source net", plan.data, str(plan.draw)))
    fresh, vectors = lenet(generator), target_vectors(20, generator)
    console.print(f"training the source net on {plan.data}", highlight=False)
    data = source_characters(plan.data, data_root, plan.draw)
    config = LayerTransferConfig(plan.source_steps, batch=20, learning_rate=LEARNING_RATE)
    with Meter() as meter:
        net = run(LayerTransferProblem(fresh, fresh, data.images_B1HW, data.labels_B, vectors), config, 0)
    found = accuracy(net, data.images_B1HW, data.labels_B, vectors)
    blank = Record(BENCH, TRAINING, found, "percent", data=plan.data, arch="lenet", method="source")
    book.add(
        replace(blank, image_count=len(data.labels_B), samples=400, commit=commit, **meter.figures())  # pyright: ignore[reportArgumentType]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, save({name: weight.contiguous() for name, weight in net.state_dict().items()}))
