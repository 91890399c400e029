"""What a run of `quality layer-transfer` is made of: its profile and its cells.

Two profiles, which differ in nothing but the length of a training of the target, the validation of auto
included. `paper`: the paper says no number of steps, ours is ample. `cpu`: half of them. At all of the
paper's settings (5 trials, 0 to 5 layers and auto, 1 to 40 samples a class) cpu takes about 27 minutes of one
core, paper twice that. Timed of one trial (processor time, on two cores that other work shared): 0 to 5
layers together 8, 9 and 11 s at 1, 5 and 10 samples a class, auto 17 and 50 s at 1 and 5, the source 38 s;
the rest is reckoned by steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.records import Record
from transplant.errors import InvalidSettings
from transplant.transfer.layer_transfer import LayerTransferConfig

if TYPE_CHECKING:
    from pathlib import Path

BENCH = "layer-transfer"
RETAIN, AUTO = "retain", "auto"
TRAINING = "training_accuracy"
"""The source's metric: on the images that it was trained on."""
SAMPLES = (1, 5, 10, 20, 40)
RETAINED: tuple[int | None, ...] = (0, 1, 2, 3, 4, 5, None)
"""How many layers; None leaves it to validation."""
_SOURCE_STEPS = 8000
LEARNING_RATE = 0.05


@dataclass(frozen=True)
class Profile:
    """How long a target is trained, and how "auto" is validated.

    Args:
        epochs: of a training.
        least_steps: of one, however few its samples are.
        folds: of the validation; each trains every number of layers once that is still in the race.
    """

    epochs: int
    least_steps: int
    folds: int = 5

    def steps_for(self, samples: int) -> int:
        """Return the steps of a training with so many samples a class: an epoch is one step for each."""
        return max(self.least_steps, self.epochs * samples)


PROFILES = {"cpu": Profile(30, 750), "paper": Profile(60, 1500)}


@dataclass(frozen=True)
class LayerTransferPlan:
    """The resolved flags of a run.

    Args:
        data: what the source learned: "chars" (handwriting) or "fonts".
        trials: seeds.
        samples: training images a class.
        retained: numbers of layers; None leaves it to validation.
        profile: name of one of `PROFILES`.
        steps: of one training of the target; None: what the profile says.
        source_steps: of the source's training.
        draw: seed of the choice of classes.
    """

    data: str
    trials: tuple[int, ...] = (0, 1, 2, 3, 4)
    samples: tuple[int, ...] = SAMPLES
    retained: tuple[int | None, ...] = RETAINED
    profile: str = "cpu"
    steps: int | None = None
    source_steps: int = _SOURCE_STEPS
    draw: int = 0

    def config(self, samples: int, trial: int) -> LayerTransferConfig:
        """Return how the target is trained."""
        sizes = PROFILES[self.profile]
        steps = sizes.steps_for(samples) if self.steps is None else self.steps
        return LayerTransferConfig(
            steps, batch=20, learning_rate=LEARNING_RATE, seed=trial, folds=sizes.folds
        )

    def settings(self) -> dict[str, Any]:
        """Return what is no part of a cell's name and must hold for all cells of a folder."""
        return {
            "profile": self.profile, **vars(PROFILES[self.profile]), "steps": self.steps,
            "source_steps": self.source_steps, "draw": self.draw,
        }  # fmt: skip


def retained_of(text: str) -> tuple[int | None, ...]:
    """Return `--retained` as numbers; "auto" is None.

    Raises:
        InvalidSettings: naming what is no number.
    """
    try:
        return tuple(None if word == AUTO else int(word) for word in text.split(","))
    except ValueError as fault:
        raise InvalidSettings(f"--retained takes 0 to 5 and auto, by comma; got {text!r}") from fault


def cell_record(plan: LayerTransferPlan, samples: int, trial: int, retained: int | None) -> Record:
    """Return the record of a cell, before its value."""
    return Record(
        BENCH, "accuracy", 0.0, "percent", data=plan.data, arch="lenet",
        method=AUTO if retained is None else RETAIN, samples=samples, seed=trial, retained=retained,
    )  # fmt: skip


def source_path(out: Path, plan: LayerTransferPlan) -> Path:
    """Return where a folder keeps the source net."""
    return out / "teachers" / f"lenet-{plan.data}-{plan.draw}-{plan.source_steps}.safetensors"
