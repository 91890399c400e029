"""The speed bench: the baseline takes the very same step, bars are told from figures, flags are checked."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from rich.console import Console

from benchmarks.records import read_records
from benchmarks.speed.cases import Case, Speed, Subject
from benchmarks.speed.double_backward import DoubleBackwardLearner
from benchmarks.speed.fresh_process import in_fresh_process
from benchmarks.speed.nets import strangers_problem
from benchmarks.speed.plan import BARS, cases_of, planned
from benchmarks.speed.run import run_speed
from benchmarks.speed.stopwatch import in_turns
from benchmarks.speed.variants import BASELINE, OURS, Variant, variants_of
from transplant.backdistill.learn_adapter import BackDistillLearner
from transplant.errors import BenchmarkFailed, InvalidSettings
from transplant.types import Task

if TYPE_CHECKING:
    from pathlib import Path

STEP = Case(
    Speed.PSEUDO_GRADIENT, Subject.STEP, "vgg_small", 32, Task.CLASSIFICATION, batch=3, layers=2, kernel=3
)
CHAIN = replace(STEP, subject=Subject.CHAIN, layers=None, kernel=None)


@pytest.mark.parametrize("dummy", ["first", "second", "lowest-second"])
@pytest.mark.parametrize(
    ("task", "side"), [(Task.CLASSIFICATION, 1), (Task.CLASSIFICATION, 3), (Task.SEGMENTATION, 1)]
)
def test_double_backward_takes_the_very_same_step(task: Task, side: int, dummy: str) -> None:
    case = replace(STEP, task=task, enlarged_side=side, dummy=dummy)
    problem, config = strangers_problem(case), case.config("back-distill")
    told = []
    for learner in (BackDistillLearner(), DoubleBackwardLearner()):
        material = learner.prepare(problem, config)
        told.append(learner.step(problem, config, material, learner.init(problem, config, material)))
    (ours, our_loss), (theirs, their_loss) = told
    assert our_loss["distillation"] == pytest.approx(their_loss["distillation"], rel=1e-4)
    for name, moment in ours.tensors.items():
        if name.startswith("mean."):  # after one step: a tenth of the gradient
            torch.testing.assert_close(moment, theirs.tensors[name], rtol=1e-3, atol=1e-6)
            assert "bias" in name or float(moment.abs().max()) > 0


@pytest.mark.parametrize("task", list(Task))
def test_chain_and_plain_backward_give_maps_of_one_shape(task: Task) -> None:
    made = {}
    for name, variant in variants_of(replace(CHAIN, task=task, enlarged_side=3)).items():
        variant.before()
        made[name] = variant.run()
    assert made[OURS].shape == made[BASELINE].shape
    assert made[OURS].shape[2] == (24 if task is Task.CLASSIFICATION else 16)


def test_variants_are_timed_in_turns_and_the_warm_up_does_not_count() -> None:
    told: list[str] = []
    variants = {name: Variant(lambda name=name: told.append(name)) for name in ("a", "b")}
    timings = in_turns(variants, repetitions=3, warm_up=1)
    assert told == ["b", "a", "a", "b", "b", "a", "a", "b"]
    assert [len(timing.cpu_s) for timing in timings.values()] == [3, 3]
    assert timings["a"].seconds >= 0


def test_a_process_that_fails_is_quoted() -> None:
    with pytest.raises(BenchmarkFailed, match="lowest-third"):
        in_fresh_process(replace(CHAIN, dummy="lowest-third"), OURS)


def test_a_run_writes_records_beside_their_baseline_and_does_not_repeat_them(tmp_path: Path) -> None:
    said = io.StringIO()
    console = Console(file=said, width=200)
    missed = run_speed([CHAIN], tmp_path, console, repetitions=1, command="x")
    records = read_records(tmp_path)
    assert [record.metric for record in records] == ["pseudo_gradient_cpu", "pseudo_gradient_memory"]
    for record in records:
        assert record.baseline is not None
        assert record.ratio == pytest.approx(record.value / record.baseline)
        assert record.peak_rss_bytes is not None
        assert record.peak_rss_bytes > 0
        assert record.cpu_seconds is not None
    assert len(missed) == ((records[0].ratio or 0) > 1.2)
    before = (tmp_path / "records.jsonl").read_bytes()
    run_speed([CHAIN], tmp_path, console, repetitions=1, command="x")
    assert (tmp_path / "records.jsonl").read_bytes() == before
    assert said.getvalue().count("measuring") == 1
    (run,) = (tmp_path / "runs.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(run)["cases"] == 1


def test_bars_look_at_ratios_or_values() -> None:
    slow = STEP.record("step_cpu", 0.1, "s", baseline=1.0, ratio=0.51)
    assert not BARS["step_cpu"].cleared_by(slow)
    assert BARS["step_cpu"].cleared_by(replace(slow, ratio=0.5))
    long = STEP.record("merge_seconds", 601.0, "s", baseline=6000.0, ratio=0.1)
    assert not BARS["merge_seconds"].cleared_by(long)
    assert BARS["merge_seconds"].cleared_by(replace(long, value=599.0))


def test_every_case_survives_its_way_to_a_child_and_has_a_key_of_its_own() -> None:
    cases = [case for bench in Speed for case in cases_of(bench, list(Task), "bfloat16", 2)]
    assert [Case.from_json(case.to_json()) for case in cases] == cases
    keys = [case.record(case.subject, 0.0, "s").key() for case in cases]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"bench": "magic"}, "vgg16-merge"),
        ({"tasks": "depth"}, "segmentation"),
        ({"arch": "resnet"}, "vgg_small"),
        ({"precision": "int8"}, "bfloat16"),
        ({"bench": "closed-form", "arch": "vgg16"}, "leave it out"),
    ],
)
def test_unknown_flags_name_what_there_is(flags: dict[str, str], said: str) -> None:
    given = {
        "bench": "pseudo-gradient",
        "tasks": "classification",
        "arch": None,
        "precision": "float32",
    } | flags
    with pytest.raises(InvalidSettings, match=said):
        planned(given.pop("bench"), threads=1, **given)
