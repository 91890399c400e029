"""What is synthesised is what was allowed: blends, held-out parts, answers in their right places."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes.tiny_nets import pca_statistics, strangers

from transplant.datafree.probe import answer_probe
from transplant.datafree.procedural_images import GENERATOR_ID
from transplant.datafree.sources import synthesise
from transplant.nets.disclosures import ProbeRequest
from transplant.nets.learner_config import LearnerConfig
from transplant.types import Task

CONFIG = LearnerConfig(synthetic_images=40, held_out_images=16, nudged_share=0.0)


@pytest.mark.parametrize("blend", [0.0, 0.25, 1.0])
def test_pca_features_stand_behind_the_images_they_are_blended_with(blend: float) -> None:
    problem = replace(strangers(), statistics=pca_statistics())
    made, _ = synthesise(problem, replace(CONFIG, source="pca", blend=blend))
    assert len(made.images) == round(40 * blend)
    assert len(made.features) == 40 - len(made.images)
    chosen = torch.tensor([39, 0, 17])
    x, answers = made.batch(problem, chosen)
    torch.testing.assert_close(problem.teacher(x), answers, rtol=1e-4, atol=1e-4)
    assert sorted(answers.flatten().tolist()) == sorted(made.answers[chosen].flatten().tolist())


def test_public_images_that_are_held_out_are_never_learned_on() -> None:
    public = torch.randint(
        0, 256, (64, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    problem = replace(strangers(), proxy_images=public)
    config = replace(CONFIG, source="proxy", blend=0.0, synthetic_images=500)
    made, held_out = synthesise(problem, config)
    learned, kept = ({image.numpy().tobytes() for image in part.images} for part in (made, held_out))
    assert len(learned) == 56
    assert len(kept) == 8
    assert not learned & kept


def test_noise_is_not_blended() -> None:
    noise, _ = synthesise(strangers(), replace(CONFIG, source="noise", blend=1.0))
    leaves, _ = synthesise(strangers(), CONFIG)
    assert not torch.equal(noise.images, leaves.images)


@pytest.mark.parametrize("task", list(Task))
def test_answers_of_a_site_are_near_what_its_teacher_says(task: Task) -> None:
    problem = strangers(task)
    grid = 4 if task is Task.SEGMENTATION else 1
    request = ProbeRequest(GENERATOR_ID, 3, 128, 80, 32, 50, grid, task)
    answers = answer_probe(request, problem.category_module, problem.teacher)
    at_home = replace(problem, teacher_task_module=None, answers=answers)
    made, held_out = synthesise(at_home, CONFIG)
    assert (len(made), len(held_out)) == (70, 10)
    told = made.answers_of(at_home, problem.teacher)
    if task is Task.SEGMENTATION:
        told = torch.nn.functional.adaptive_avg_pool2d(told, grid)
    step = (answers.high - answers.low) / 255
    torch.testing.assert_close(made.answers, told, rtol=0, atol=0.51 * step + 1e-4)
