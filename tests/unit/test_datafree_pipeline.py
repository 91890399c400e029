"""The default pipeline takes the best source it is given, keeps the better candidate, and resumes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from fakes.tiny_nets import strangers

from transplant.datafree.function_distillation import FunctionLearner, moved
from transplant.datafree.pipeline import TransplantLearner, best_source
from transplant.errors import DisclosureMissing, InvalidSettings
from transplant.nets.disclosures import ClassStatistics, DisclosedStatistics
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.learning import AdapterProblem, LabelledSamples, run_learner
from transplant.types import Disclosure

if TYPE_CHECKING:
    from transplant.types import Precision

CONFIG = LearnerConfig(
    method="transplant",
    layers=1,
    steps=24,
    candidates=2,
    batch=16,
    synthetic_images=96,
    held_out_images=64,
    checkpoint_every=10,
    nudged_share=0.0,
)


@pytest.fixture
def problem() -> AdapterProblem:
    return strangers()


def _statistics(level: Disclosure) -> DisclosedStatistics:
    one = ClassStatistics(100, torch.ones(8), torch.eye(8))
    return DisclosedStatistics(level, (one, one))


def test_best_source_rises_with_what_is_there(problem: AdapterProblem) -> None:
    assert best_source(problem) == "procedural"
    assert best_source(replace(problem, statistics=_statistics(Disclosure.MOMENTS))) == "moments"
    public = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    assert best_source(replace(problem, proxy_images=public)) == "proxy"


def test_the_better_candidate_goes_on(problem: AdapterProblem) -> None:
    learner = TransplantLearner()
    material = learner.prepare(problem, CONFIG)
    state = learner.init(problem, CONFIG, material)
    heat = CONFIG.steps // 4
    for _ in range(2 * heat):
        state, _ = learner.step(problem, CONFIG, material, state)
    assert {name.split(".")[0] for name in state.tensors} == {"0", "1"}
    scores = [
        FunctionLearner()
        .finish(
            problem,
            CONFIG,
            material,
            replace(
                state,
                tensors={n[2:]: t for n, t in state.tensors.items() if n.startswith(f"{candidate}.")},
            ),
        )
        .figures["agreement"]
        for candidate in (0, 1)
    ]
    state, _ = learner.step(problem, CONFIG, material, state)
    assert {name.split(".")[0] for name in state.tensors} == {str(scores.index(max(scores)))}
    assert learner.total_steps(CONFIG) == CONFIG.steps + heat


def test_one_candidate_is_plain_function_distillation(problem: AdapterProblem) -> None:
    config = replace(CONFIG, candidates=1)
    alone = run_learner(TransplantLearner(), problem, config)
    plain = run_learner(FunctionLearner(), problem, config)
    for name, tensor in plain.adapter.state_dict().items():
        assert torch.equal(tensor, alone.adapter.state_dict()[name]), name


@pytest.mark.parametrize("checkpoint", [0, 1])
def test_a_resumed_pipeline_ends_with_the_same_bits(problem: AdapterProblem, checkpoint: int) -> None:
    saved: list[bytes] = []
    whole = run_learner(TransplantLearner(), problem, CONFIG, save=saved.append)
    resumed = run_learner(TransplantLearner(), problem, CONFIG, resume=saved[checkpoint])
    for name, tensor in whole.adapter.state_dict().items():
        assert torch.equal(tensor, resumed.adapter.state_dict()[name]), name
    assert whole.figures == resumed.figures


def test_one_that_has_arrived_goes_over_to_the_end_of_its_schedule(
    problem: AdapterProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, steps=96)
    monkeypatch.setattr("transplant.datafree.pipeline._EXPLAINED", 0.8)  # random weights come so far
    same = replace(
        problem,
        host_category_module=problem.category_module,
        host_task_module=problem.teacher,
        host_architecture=problem.architecture,
    )
    saved: list[bytes] = []
    short = run_learner(TransplantLearner(), same, config, save=saved.append)
    assert short.figures["steps"] == 96 / 12 + 96 / 8
    resumed = run_learner(TransplantLearner(), same, config, resume=saved[-1])
    for name, tensor in short.adapter.state_dict().items():
        assert torch.equal(tensor, resumed.adapter.state_dict()[name]), name
    assert short.figures == resumed.figures
    assert run_learner(TransplantLearner(), problem, config).figures["steps"] == 96


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_labelled_samples_join_the_batches(problem: AdapterProblem, precision: Precision) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (12, 3, 32, 32), generator=generator, dtype=torch.uint8)
    targets = (torch.arange(12) % 2).to(torch.uint8)
    images[targets == 1, 0] = 255
    labelled = LabelledSamples(images, targets)
    figures: list[dict[str, float]] = []
    run_learner(
        TransplantLearner(),
        replace(problem, labelled=labelled),
        replace(CONFIG, candidates=1, steps=40, learning_rate=1e-2, label_weight=3.0, precision=precision),
        progress=lambda _s, _t, told: figures.append(told) if told else None,
    )
    assert figures[-1]["task"] < figures[0]["task"]


def test_moving_takes_masks_along() -> None:
    generator = torch.Generator().manual_seed(3)
    masks = torch.randint(0, 2, (6, 32, 32), generator=generator, dtype=torch.uint8)
    images = masks.unsqueeze(1).expand(-1, 3, -1, -1) * 200
    moved_images, moved_masks = moved(images, masks, generator)
    assert torch.equal(moved_images, moved_masks.unsqueeze(1).expand(-1, 3, -1, -1) * 200)
    assert not torch.equal(moved_masks, masks)


def test_sources_say_what_they_lack(problem: AdapterProblem) -> None:
    for source in ("moments", "pca", "proxy"):
        with pytest.raises(DisclosureMissing, match=source):
            run_learner(FunctionLearner(), problem, replace(CONFIG, method="function", source=source))
    with pytest.raises(InvalidSettings, match="there are procedural"):
        run_learner(FunctionLearner(), problem, replace(CONFIG, method="function", source="dreams"))
    with pytest.raises(DisclosureMissing, match="answered"):
        run_learner(FunctionLearner(), replace(problem, teacher_task_module=None), CONFIG)
