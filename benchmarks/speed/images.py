"""What a procedural image costs on one thread, and which share of a merge at default settings it is.

A merge makes all of its images before its first step. Its parts are measured one by one on random nets, and
multiplied by how often the default settings of that image size ask for them: making an image; all that
becomes of it before the first step (a share nudged, all answered by g_T), over a batch of them; and a step of
the default method. `image_cpu` is the first, its baseline the whole merge divided by its images: the ratio is
the share of the merge that goes into making images. A merge that arrives early takes fewer steps than that.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from rich.table import Table

from benchmarks.machine import this_machine
from benchmarks.quality.folder import note_cases
from benchmarks.records import Record, RecordBook
from benchmarks.speed.cases import Case, Speed, Subject
from benchmarks.speed.nets import strangers_problem
from benchmarks.speed.stopwatch import in_turns
from benchmarks.speed.variants import Variant
from transplant.datafree.pipeline import TransplantLearner
from transplant.datafree.procedural_images import BATCH, procedural_batch
from transplant.datafree.sources import synthesise
from transplant.nets.allocator import keep_freed_memory
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.learner_profile import with_profile
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.console import Console

    from transplant.nets.learning import LearnerState

BENCH = "images"
METRIC = "image_cpu"
SIZES = (("vgg_small", 32), ("vgg_small", 64), ("vgg16", 224))


@dataclass(frozen=True)
class MergeCost:
    """Processor seconds of an image, of what follows with it, and of a step; and how many there are."""

    image_s: float
    after_image_s: float
    step_s: float
    images: int
    steps: int

    @property
    def merge_s(self) -> float:
        """Return what the whole merge takes."""
        return self.images * (self.image_s + self.after_image_s) + self.steps * self.step_s

    @property
    def share(self) -> float:
        """Return which share of the merge making its images is."""
        return self.images * self.image_s / self.merge_s


def run_images(
    out: Path, console: Console, *, repetitions: int, command: str, sizes: Iterable[tuple[str, int]] = SIZES
) -> None:
    """Measure the sizes that `out` has not yet, and show all of them.

    Args:
        out: folder of the records.
        console: where progress and the table are shown.
        repetitions: of each part, in turns.
        command: what was typed, for the list of runs.
        sizes: architecture of the nets and side of the images.
    """
    machine = this_machine()
    book = RecordBook(out)
    began_s, ran = time.monotonic(), 0
    for arch, image_px in sizes:
        if book.has(_record(arch, image_px)):
            continue
        console.print(f"measuring {arch} at {image_px} px", highlight=False)
        cost = measured(arch, image_px, repetitions)
        whole = cost.merge_s / cost.images
        book.add(
            _record(
                arch, image_px, cost.image_s, baseline=whole, ratio=cost.share, commit=machine.commit,
                cpu_seconds=round(cost.merge_s, 3),
            )
        )  # fmt: skip
        ran += 1
    console.print(_table([record for record in book if record.bench == BENCH]))
    note_cases(out, machine, command, ran, began_s)


def measured(arch: str, image_px: int, repetitions: int) -> MergeCost:
    """Return the cost of a default merge for classification between two random nets."""
    torch.set_num_threads(1)
    keep_freed_memory()
    case = Case(Speed.PSEUDO_GRADIENT, Subject.STEP, arch, image_px, Task.CLASSIFICATION)
    problem = strangers_problem(case)
    config = LearnerConfig.from_dict(with_profile({}, image_px))
    few = replace(config, synthetic_images=BATCH, held_out_images=1)
    learner = TransplantLearner()
    material = learner.prepare(problem, few)
    state: list[LearnerState] = [learner.init(problem, config, material)]

    def step() -> None:
        state[0] = learner.step(problem, config, material, state[0])[0]

    timings = in_turns(
        {
            "image": Variant(lambda: procedural_batch(0, image_px, 0, config.drawings)),
            "prepare": Variant(lambda: synthesise(problem, few)),
            "step": Variant(step),
        },
        repetitions,
    )
    # `synthesise` made a batch to learn on and a batch of which one image is held out.
    image_s = timings["image"].cpu_seconds / BATCH
    after_s = max(0.0, timings["prepare"].cpu_seconds - 2 * BATCH * image_s) / (BATCH + 1)
    return MergeCost(
        image_s,
        after_s,
        timings["step"].cpu_seconds,
        config.synthetic_images + config.held_out_images,
        learner.total_steps(config),
    )


def _record(arch: str, image_px: int, value: float = 0.0, **measured_fields: Any) -> Record:
    return Record(
        BENCH, METRIC, value, "s", arch=arch, method=f"{image_px} px, one thread",
        task=Task.CLASSIFICATION.value, **measured_fields,
    )  # fmt: skip


def _table(records: Iterable[Record]) -> Table:
    table = Table("images", "nets", "CPU ms an image", "share of a default merge", "CPU s of the merge")
    for record in records:
        table.add_row(
            record.method,
            record.arch,
            f"{1000 * record.value:.2f}",
            f"{100 * (record.ratio or 0.0):.1f} %",
            f"{record.cpu_seconds or 0.0:,.0f}",
        )
    return table
