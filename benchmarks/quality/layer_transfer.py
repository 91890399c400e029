"""Figures 2 to 5 of Gutstein, Fuentes and Freudenthal 2007: accuracy against the number of retained layers.

One source net learns 20 classes; each trial draws images of 20 other classes, random target vectors and fresh
weights, and trains with 0 to 5 layers retained, and with as many as validation on the trial's own images
chooses ("auto"). Trials are the records' seeds.

Two profiles, which differ in nothing but the length of a training of the target, the validation of auto
included. `paper`: the paper says no number of steps, ours is ample. `cpu`: half of them. At all of the
paper's settings (5 trials, 0 to 5 layers and auto, 1 to 40 samples a class) cpu takes about 27 minutes of one
core, paper twice that. Timed of one trial (processor time, on two cores that other work shared): 0 to 5
layers together 8, 9 and 11 s at 1, 5 and 10 samples a class, auto 17 and 50 s at 1 and 5, the source 38 s;
the rest is reckoned by steps.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load, save
from torch import nn

from benchmarks.machine import this_machine
from benchmarks.quality.characters import source_characters, target_characters
from benchmarks.quality.cost import Meter
from benchmarks.quality.folder import claim_settings, note_run
from benchmarks.records import Record, RecordBook
from transplant.artifact.digest import derive_seed
from transplant.artifact.durable_file import write_durably
from transplant.errors import InvalidSettings
from transplant.transfer.layer_transfer import (
    LayerTransferConfig,
    LayerTransferProblem,
    accuracy,
    choose_retained,
    run,
)
from transplant.transfer.lenet import LAYERS, USUALLY_RETAINED, lenet, target_vectors

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from benchmarks.quality.characters import Characters

BENCH = "layer-transfer"
RETAIN, AUTO = "retain", "auto"
TRAINING = "training_accuracy"
"""The source's metric: on the images that it was trained on."""
SAMPLES = (1, 5, 10, 20, 40)
RETAINED: tuple[int | None, ...] = (0, 1, 2, 3, 4, 5, None)
"""How many layers; None leaves it to validation."""
_SOURCE_STEPS = 8000
_RATE = 0.05


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
        return LayerTransferConfig(steps, batch=20, learning_rate=_RATE, seed=trial, folds=sizes.folds)

    def settings(self) -> dict[str, Any]:
        """Return what is no part of a cell's name and must hold for all cells of a folder."""
        return {
            "profile": self.profile, **vars(PROFILES[self.profile]), "steps": self.steps,
            "source_steps": self.source_steps, "draw": self.draw,
        }  # fmt: skip


def run_layer_transfer(
    plan: LayerTransferPlan, out: Path, console: Console, *, data_root: Path, command: str
) -> int:
    """Run every cell that `out` has not yet; return how many were run.

    Args:
        plan: what to run.
        out: folder of the records and the source net.
        console: where progress is shown.
        data_root: folder of the data packs.
        command: what was typed, for the list of runs.

    Raises:
        InvalidSettings: for numbers that cannot be.
        BenchmarkFailed: if the folder belongs to other settings.
    """
    if plan.profile not in PROFILES:
        raise InvalidSettings(f"{BENCH} runs with --profile {', '.join(PROFILES)}; got {plan.profile!r}")
    wrong = [n for n in plan.retained if n is not None and not 0 <= n < len(LAYERS)]
    if wrong or not plan.samples or min(plan.samples) < 1:
        raise InvalidSettings(
            f"--retained takes 0 to {len(LAYERS) - 1} and auto, --samples 1 and more; got {plan.retained}, "
            f"{plan.samples}"
        )
    claim_settings(out, f"{BENCH}/{plan.data}", plan.settings())
    book, machine = RecordBook(out), this_machine()
    began_s, ran = time.monotonic(), 0
    source: nn.Sequential | None = None
    for trial in plan.trials:
        for samples in plan.samples:
            for retained in plan.retained:
                if book.has(_record(plan, samples, trial, retained)):
                    continue
                source = source or _source(plan, out, book, data_root, console, machine.commit)
                problem, test = _problem(plan, source, data_root, samples, trial)
                records = _cell(plan, problem, test, samples, trial, retained, machine.commit)
                for record in reversed(records):  # the accuracy says that the cell is finished
                    book.add(record)
                ran += 1
                told = "auto" if retained is None else f"{retained} layers"
                chose = "" if len(records) == 1 else f" (chose {records[1].value:.0f})"
                console.print(
                    f"[{time.monotonic() - began_s:7.1f} s] {plan.data}, {samples} a class, trial {trial}, "
                    f"{told}{chose}: {records[0].value:.1f} %",
                    markup=False,
                    highlight=False,
                )
    if ran:
        note_run(
            out, command=command, machine=machine.sentence(), bench=BENCH, data=plan.data,
            seeds=list(plan.trials), cells=ran, workers=1, threads=torch.get_num_threads(),
            seconds=round(time.monotonic() - began_s, 1),
        )  # fmt: skip
    return ran


def _cell(
    plan: LayerTransferPlan,
    problem: LayerTransferProblem,
    test: Characters,
    samples: int,
    trial: int,
    retained: int | None,
    commit: str,
) -> list[Record]:
    """Train and measure once; the accuracy comes first, and what was chosen, if it was, after it."""
    config = plan.config(samples, trial)
    with Meter() as meter:
        chosen = retained
        if chosen is None:
            chosen, _ = choose_retained(problem, config, range(len(LAYERS)), USUALLY_RETAINED)
        net = run(problem, config, chosen)
    figures = {**meter.figures(), "commit": commit}
    found = accuracy(net, test.images_B1HW, test.labels_B, problem.vectors_CK)
    blank = _record(plan, samples, trial, retained)
    made = [replace(blank, value=found, image_count=len(test.labels_B), **figures)]  # pyright: ignore[reportArgumentType] - figures are of both types
    if retained is None:
        made.append(replace(blank, metric="retained", unit="layers", value=float(chosen), commit=commit))
    return made


def _record(plan: LayerTransferPlan, samples: int, trial: int, retained: int | None) -> Record:
    return Record(
        BENCH, "accuracy", 0.0, "percent", data=plan.data, arch="lenet",
        method=AUTO if retained is None else RETAIN, samples=samples, seed=trial, retained=retained,
    )  # fmt: skip


def _problem(
    plan: LayerTransferPlan, source: nn.Sequential, data_root: Path, samples: int, trial: int
) -> tuple[LayerTransferProblem, Characters]:
    train, test = target_characters(data_root, plan.draw, samples, trial)
    generator = torch.Generator().manual_seed(derive_seed("layer transfer", str(trial)))
    vectors = target_vectors(len(test.labels_B.unique()), generator)
    return LayerTransferProblem(source, lenet(generator), train.images_B1HW, train.labels_B, vectors), test


def _source(
    plan: LayerTransferPlan, out: Path, book: RecordBook, data_root: Path, console: Console, commit: str
) -> nn.Sequential:
    """Return the source net: read back, or trained on its 20 classes and recorded with its accuracy.

    That is the accuracy on what it was trained on, as the paper's 94.38 % is: no picture of these classes is
    left over, the packs have fewer than the 400 of each.
    """
    path = out / "teachers" / f"lenet-{plan.data}-{plan.draw}-{plan.source_steps}.safetensors"
    generator = torch.Generator().manual_seed(derive_seed("source net", plan.data, str(plan.draw)))
    fresh, vectors = lenet(generator), target_vectors(20, generator)
    if path.is_file():
        fresh.load_state_dict(load(path.read_bytes()))
        return fresh.eval()
    console.print(f"training the source net on {plan.data}", highlight=False)
    data = source_characters(plan.data, data_root, plan.draw)
    config = LayerTransferConfig(plan.source_steps, batch=20, learning_rate=_RATE)
    with Meter() as meter:
        net = run(LayerTransferProblem(fresh, fresh, data.images_B1HW, data.labels_B, vectors), config, 0)
    found = accuracy(net, data.images_B1HW, data.labels_B, vectors)
    blank = Record(BENCH, TRAINING, found, "percent", data=plan.data, arch="lenet", method="source")
    book.add(
        replace(blank, image_count=len(data.labels_B), samples=400, commit=commit, **meter.figures())  # pyright: ignore[reportArgumentType]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, save({name: weight.contiguous() for name, weight in net.state_dict().items()}))
    return net


def retained_of(text: str) -> tuple[int | None, ...]:
    """Return `--retained` as numbers; "auto" is None.

    Raises:
        InvalidSettings: naming what is no number.
    """
    try:
        return tuple(None if word == AUTO else int(word) for word in text.split(","))
    except ValueError as fault:
        raise InvalidSettings(f"--retained takes 0 to 5 and auto, by comma; got {text!r}") from fault
