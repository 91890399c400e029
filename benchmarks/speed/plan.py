"""Which cases each name stands for, and the bars that their figures must clear."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.bench_device import bench_device
from benchmarks.speed.cases import Case, Speed, Subject
from transplant.errors import InvalidSettings
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.records import Record
    from transplant.types import Precision

GIB = 1 << 30


@dataclass(frozen=True)
class Bar:
    """At most so much of a metric: of its ratio to the baseline, or of its value."""

    metric: str
    most: float
    of_ratio: bool = True

    def cleared_by(self, record: Record) -> bool:
        """Tell whether a record clears the bar."""
        measured = record.ratio if self.of_ratio else record.value
        return measured is not None and measured <= self.most

    def sentence(self) -> str:
        """Return the bar for a person."""
        return f"<= {self.most:g}{' x baseline' if self.of_ratio else ''}"


BARS = {
    bar.metric: bar
    for bar in (
        Bar("pseudo_gradient_cpu", 1.2),
        Bar("step_cpu", 0.5),
        Bar("step_memory", 0.5),
        Bar("learner_cpu", 1 / 20),
        Bar("merge_seconds", 600, of_ratio=False),
        Bar("merge_peak_rss", 8 * GIB, of_ratio=False),
    )
}

_SIZES = {"vgg_small": (32, 32), "vgg16": (224, 2)}  # image side and batch


def planned(
    bench: str, *, tasks: str, arch: str | None, precision: str, threads: int, device: str = "cpu"
) -> list[Case]:
    """Return the cases that the flags ask for.

    Raises:
        InvalidSettings: naming what there is instead.
    """
    place = bench_device(device)
    if place == "cuda" and bench != Speed.VGG16_MERGE:
        raise InvalidSettings(f"--device cuda is of {Speed.VGG16_MERGE.value}; {bench} is timed on the CPU")
    for flag, given, known in (
        ("speed", [bench], [name.value for name in Speed]),
        ("--tasks", tasks.split(","), [task.value for task in Task]),
        ("--arch", [arch or "vgg16"], list(_SIZES)),
        ("--precision", [precision], ["float32", "bfloat16"]),
    ):
        unknown = [value for value in given if value not in known]
        if unknown:
            raise InvalidSettings(f"{flag} takes {', '.join(known)}; got {', '.join(unknown)}")
    mixed = "bfloat16" if precision == "bfloat16" else "float32"
    cases = cases_of(Speed(bench), [Task(task) for task in tasks.split(",")], mixed, threads)
    chosen = [replace(case, device=place) for case in cases if arch in (None, case.arch)]
    if not chosen:
        raise InvalidSettings(f"{bench} has no case with --arch {arch}: leave it out")
    return chosen


def cases_of(bench: Speed, tasks: Sequence[Task], precision: Precision, threads: int) -> list[Case]:
    """Return the cases of a name, cheap ones first.

    Args:
        bench: the name.
        tasks: of the task modules; the closed form is compared on Experiment 1, classification.
        precision: of a merge.
        threads: of a merge; everything else runs on one, whose CPU time other processes disturb least.
    """
    if bench is Speed.CLOSED_FORM:
        return [
            Case(bench, Subject.LEARNER, "vgg_small", 32, Task.CLASSIFICATION, "second", 1, 32, layers, 3)
            for layers in (1, 3)
        ]
    if bench is Speed.VGG16_MERGE:
        return [
            Case(
                bench,
                Subject.MERGE,
                "vgg16",
                224,
                task,
                batch=8,
                layers=3,
                kernel=3,
                steps=100,
                masks=64,
                synthetic_images=256,
                precision=precision,
                threads=threads,
            )
            for task in tasks
        ]
    return [
        case
        for arch, (image_px, batch) in _SIZES.items()
        for task in tasks
        for case in (*_chains(arch, image_px, batch, task), *_steps(arch, image_px, batch, task))
    ]


def _chains(arch: str, image_px: int, batch: int, task: Task) -> list[Case]:
    """Return D' with the paper's dummies of Experiments 1 and 2, or 3; and with the dearest ones."""
    bench, subject = Speed.PSEUDO_GRADIENT, Subject.CHAIN
    if task is Task.SEGMENTATION:
        return [
            Case(bench, subject, arch, image_px, task, dummy, batch=batch) for dummy in ("first", "second")
        ]
    return [
        Case(bench, subject, arch, image_px, task, dummy, side, batch)
        for dummy, side in (("second", 1), ("lowest-second", 7))
    ]


def _steps(arch: str, image_px: int, batch: int, task: Task) -> list[Case]:
    """Return one step of the learner with the paper's settings of Experiments 2 and 3, and of 1."""
    bench, subject = Speed.PSEUDO_GRADIENT, Subject.STEP
    if task is Task.SEGMENTATION:
        return [Case(bench, subject, arch, image_px, task, "first", 7, batch, 1, 1)]
    return [
        Case(bench, subject, arch, image_px, task, "second", 1, batch, 3, 3),
        Case(bench, subject, arch, image_px, task, "lowest-second", 7, batch, 3, 1),
    ]
