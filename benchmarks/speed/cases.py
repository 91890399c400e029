"""A case: what is measured, on which net, at which size. Plain values, so that it can be told to a child."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from benchmarks.records import Record
from transplant.nets.learner_config import LearnerConfig
from transplant.types import Device, Precision, Task


class Speed(StrEnum):
    """The names after `transplant-bench speed`."""

    PSEUDO_GRADIENT = "pseudo-gradient"
    CLOSED_FORM = "closed-form"
    VGG16_MERGE = "vgg16-merge"


class Subject(StrEnum):
    """What a case measures, and beside what."""

    CHAIN = "chain"
    """One D' through g, beside a plain backward pass through g."""
    STEP = "step"
    """One step of iterative back-distillation, beside the same step by double backward."""
    LEARNER = "learner"
    """The closed form from start to end, beside the iterative learner."""
    MERGE = "merge"
    """A whole merge, beside the paper's learner."""


@dataclass(frozen=True)
class Case:
    """One measured thing.

    Args:
        bench: under which name it is run.
        subject: what is measured.
        arch: of all nets.
        image_px: their images' side.
        task: of the task modules.
        dummy: the rule for the ReLUs.
        enlarged_side: S of an S x S output gradient (classification).
        batch: samples of G, or images of a step.
        layers: of the adapter.
        kernel: side of its convolutions.
        steps: of the learner.
        masks: samples of G of the closed form.
        synthetic_images: of a merge.
        precision: of a merge's forward passes.
        threads: of torch.
        device: of a merge, "cpu" or "cuda".
    """

    bench: Speed
    subject: Subject
    arch: str
    image_px: int
    task: Task
    dummy: str = "lowest-second"
    enlarged_side: int = 7
    batch: int = 32
    layers: int | None = None
    kernel: int | None = None
    steps: int = 300
    masks: int = 128
    synthetic_images: int | None = None
    precision: Precision = "float32"
    threads: int = 1
    device: Device = "cpu"

    def config(self, method: str) -> LearnerConfig:
        """Return the learner's knobs."""
        return LearnerConfig(
            method=method,
            layers=self.layers or 1,
            kernel=self.kernel or 1,
            steps=self.steps,
            batch=self.batch,
            synthetic_images=self.synthetic_images or 1,
            held_out_images=(self.synthetic_images or 4) // 4,
            precision=self.precision,
            dummy=self.dummy,
            enlarged_side=self.enlarged_side,
            masks=self.masks,
        )

    def sentence(self) -> str:
        """Return what tells this case from others, for a person."""
        adapter = "" if self.layers is None else f", {self.layers} layers {self.kernel}x{self.kernel}"
        place = "" if self.device == "cpu" else f", on {self.device}"
        return f"{self.subject}: {self.arch} {self.image_px} px {self.task}{adapter}, {self.setting()}{place}"

    def setting(self) -> str:
        """Return what the fields of a record have no room for; it stands in `method`."""
        if self.subject is Subject.MERGE:
            return f"closed-form + {self.steps} function steps of {self.batch}"
        side = self.enlarged_side if self.task is Task.CLASSIFICATION else self.image_px
        return f"{self.dummy} dummies, G {side}x{side}, batch {self.batch}"

    def record(self, metric: str, value: float, unit: str, **measured: Any) -> Record:
        """Return a record of this case."""
        return Record(
            bench=self.bench.value,
            metric=metric,
            value=value,
            unit=unit,
            arch=self.arch,
            method=self.setting(),
            task=self.task.value,
            layers=self.layers,
            kernel=self.kernel,
            synthetic_images=self.synthetic_images,
            device=None if self.device == "cpu" else self.device,
            **measured,
        )

    def to_json(self) -> str:
        """Return one line of text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Case:
        """Rebuild from `to_json`."""
        values: dict[str, Any] = json.loads(line)
        values |= {
            "bench": Speed(values["bench"]),
            "subject": Subject(values["subject"]),
            "task": Task(values["task"]),
        }
        return cls(**values)
