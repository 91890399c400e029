"""One image is few, and no reason for NaN: the spread of a single answer is the least that there is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes.tiny_nets import SMALL, strangers

from transplant.datafree.answer_scale import deviation_of
from transplant.datafree.function_distillation import FunctionLearner
from transplant.datafree.inversion import invert
from transplant.datafree.nudging import nudge
from transplant.datafree.probe import answer_probe
from transplant.datafree.procedural_images import GENERATOR_ID, procedural_images
from transplant.datafree.sources import synthesise
from transplant.nets.disclosures import ProbeRequest
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.learning import run_learner
from transplant.types import Task

CONFIG = LearnerConfig(
    method="function", layers=1, steps=3, batch=2, synthetic_images=1, held_out_images=1, nudged_share=1.0
)
"""Everything is learned from one image, and that one is nudged."""


def test_the_deviation_is_that_of_the_sample_and_never_less_than_the_floor() -> None:
    assert deviation_of(torch.tensor([[1.0], [3.0]]), 0.1) == pytest.approx(2**0.5)
    assert deviation_of(torch.tensor([[1.0], [3.0]]), 5.0) == 5.0
    assert deviation_of(torch.tensor([[7.0]]), 0.25) == 0.25
    assert deviation_of(torch.empty(0, 1), 0.25) == 0.25


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("count", [0, 1])
def test_a_single_image_is_nudged_and_stays_a_picture(task: Task, count: int) -> None:
    images = procedural_images(count, 32, seed=3)
    nudged = nudge(strangers(task), CONFIG, images)
    assert nudged.shape == images.shape
    apart = (nudged.to(torch.float32) - images.to(torch.float32)).abs()
    if count:  # NaN would have become a black image
        assert 0 < float(apart.mean()) < 255 * 24 / 255


@pytest.mark.parametrize("task", list(Task))
def test_a_single_image_is_inverted_and_stays_a_picture(task: Task) -> None:
    problem, image = strangers(task), procedural_images(1, 32, seed=3)
    generator = torch.Generator().manual_seed(0)
    made = invert(problem.category_module, problem.teacher, image, task, generator, steps=4)
    assert made.shape == image.shape
    assert 0 < float((made.to(torch.float32) - image.to(torch.float32)).abs().mean()) < 30


def test_an_adapter_is_learned_from_one_image() -> None:
    learned = run_learner(FunctionLearner(), strangers(), CONFIG)
    assert all(bool(tensor.isfinite().all()) for tensor in learned.adapter.state_dict().values())
    assert torch.tensor(list(learned.figures.values())).isfinite().all()


@pytest.mark.parametrize(("count", "learned"), [(1, 1), (2, 1), (7, 6), (16, 14)])
def test_of_few_answers_one_at_least_is_held_out(count: int, learned: int) -> None:
    problem = strangers()
    request = ProbeRequest(GENERATOR_ID, 3, 16, count, SMALL.ints("image_px")[0], 50, 1, problem.task)
    answers = answer_probe(request, problem.category_module, problem.teacher)
    at_home = replace(problem, teacher_task_module=None, answers=answers)
    config = replace(CONFIG, held_out_images=512)
    made, held_out = synthesise(at_home, config)
    assert (len(made), len(held_out)) == (learned, max(1, count - learned))
    figures = run_learner(FunctionLearner(), at_home, config).figures
    assert torch.tensor(list(figures.values())).isfinite().all()
