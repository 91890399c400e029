"""Synthetic images are a function of their seed; learning on them joins nets that were trained apart."""

from __future__ import annotations

import pytest
import torch
from fakes.tiny_nets import strangers

from transplant.datafree.agreement import agreement
from transplant.datafree.function_distillation import FunctionLearner
from transplant.datafree.nudging import nudge
from transplant.datafree.procedural_images import procedural_images
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.learning import run_learner
from transplant.types import Task

CONFIG = LearnerConfig(
    layers=2,
    steps=120,
    batch=32,
    synthetic_images=256,
    held_out_images=128,
    checkpoint_every=50,
    learning_rate=5e-3,
    nudged_share=0.0,
)


def test_images_are_a_function_of_seed_index_and_size() -> None:
    images = procedural_images(100, 32, seed=4)
    assert images.shape == (100, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert torch.equal(images, procedural_images(100, 32, seed=4))
    assert torch.equal(images[:70], procedural_images(70, 32, seed=4)), (
        "more images leave the earlier ones alone"
    )
    assert not torch.equal(images, procedural_images(100, 32, seed=5))
    assert len(images.flatten(1).unique(dim=0)) == 100
    assert procedural_images(0, 32, seed=4).shape == (0, 3, 32, 32)


def test_images_have_the_power_spectrum_of_natural_images() -> None:
    grey = procedural_images(256, 64, seed=0).to(torch.float32).mean(1)
    grey = grey - grey.mean((1, 2), keepdim=True)
    power = torch.fft.fft2(grey).abs().square().mean(0)
    frequency = torch.fft.fftfreq(64)
    radius = (frequency.view(-1, 1).square() + frequency.view(1, -1).square()).sqrt()
    inside = (radius > 2 / 64) & (radius < 0.4)
    x, y = radius[inside].log(), power[inside].log()
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())
    assert -3.3 < slope < -2.2, "small photographs have about f^-2.8"


@pytest.mark.parametrize("task", list(Task))
def test_learning_raises_the_agreement_of_strangers(task: Task) -> None:
    untouched = run_learner(
        FunctionLearner(), strangers(task), LearnerConfig.from_dict(CONFIG.to_dict() | {"steps": 0})
    )
    learned = run_learner(FunctionLearner(), strangers(task), CONFIG)
    assert learned.figures["loss"] < 0.7 * untouched.figures["loss"]
    assert learned.figures["logit_r2"] > untouched.figures["logit_r2"] + 0.2


def test_a_resumed_run_ends_with_the_same_bits() -> None:
    problem = strangers()
    saved: list[bytes] = []
    whole = run_learner(FunctionLearner(), problem, CONFIG, save=saved.append)
    resumed = run_learner(FunctionLearner(), problem, CONFIG, resume=saved[0])
    for name, tensor in whole.adapter.state_dict().items():
        assert torch.equal(tensor, resumed.adapter.state_dict()[name]), name
    assert whole.figures == resumed.figures


def test_disclosed_norms_are_used_instead_of_estimates() -> None:
    quick = LearnerConfig.from_dict(CONFIG.to_dict() | {"steps": 1})
    assert run_learner(FunctionLearner(), strangers(mean_norm=2.0), quick).figures["beta"] == 1.0
    assert run_learner(FunctionLearner(), strangers(), quick).figures["beta"] != 1.0


@pytest.mark.parametrize("task", list(Task))
def test_nudged_images_spread_the_teachers_answers(task: Task) -> None:
    problem = strangers(task)
    images = procedural_images(64, 32, seed=0)
    nudged = nudge(problem, CONFIG, images)
    assert nudged.dtype == torch.uint8
    assert nudged.shape == images.shape

    def spread(pictures: torch.Tensor) -> float:
        answers = problem.teacher_task_module(problem.category_module(pictures.to(torch.float32) / 255))
        return float(answers.std())

    assert spread(nudged) > 1.1 * spread(images)


def test_agreement_is_balanced() -> None:
    teacher = torch.cat([torch.ones(10), -torch.ones(90)])
    assert agreement(-torch.ones(100), teacher)["agreement"] == 50.0
    assert agreement(teacher, teacher) == {"agreement": 100.0, "logit_r2": 1.0}
    never = torch.linspace(-9, -1, 100)
    assert agreement(never, never)["agreement"] == 100.0, "the boundary moves to the median"
    assert agreement(torch.full((100,), -9.0), never)["agreement"] == 50.0
