"""Nudging: move synthetic images a few gradient steps towards random answers of the teacher.

A teacher is far surer of what it was trained on than of any synthetic image; an adapter that never saw that
range of answers is wrong there. Normalised gradient steps reach it and keep the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from transplant.datafree.answer_scale import deviation_of
from transplant.nets.finite import check_finite
from transplant.nets.learning import AdapterProblem, step_generator
from transplant.nets.measures import as_images
from transplant.nets.pixel_budget import images_at_once
from transplant.nets.placement import beside, device_of, to_device
from transplant.nets.precision import mixed_precision
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from transplant.nets.learner_config import LearnerConfig

_CALIBRATION = 256
_REACH = 24 / 255  # how far a pixel may go, on average


def nudge(problem: AdapterProblem, config: LearnerConfig, images_u8: Tensor) -> Tensor:
    """Move each image towards its own wanted logit (segmentation: on its own random smooth mask).

    Wanted logits are drawn from a normal law of `config.nudge_reach` deviations of g_T's untouched answers.

    Args:
        problem: whose f and g_T answer.
        config: `nudge_steps`, `nudge_reach`, `precision`, and the seed.
        images_u8: uint8 (N, 3, H, W).

    Returns:
        uint8 images of the same shape; of no images none.

    Raises:
        TensorNotFinite: if the teacher answers NaN or an infinity.
    """
    if not len(images_u8):
        return images_u8
    teacher = nn.Sequential(problem.category_module, problem.teacher)
    side = images_u8.shape[-1]
    with torch.no_grad():
        calibrating = images_u8[:_CALIBRATION].split(images_at_once(side, _CALIBRATION, 1 << 20))
        untouched = torch.cat([teacher(as_images(beside(part, teacher))) for part in calibrating])
        check_finite(untouched, "the teacher's answers to synthetic images")
        deviation = deviation_of(untouched, least=1.0)
    generator = step_generator(config, -2)
    nudged: list[Tensor] = []
    for part in images_u8.split(images_at_once(side)):
        wanted = random_answers(problem.task, len(part), side, generator)
        wanted = beside(wanted * config.nudge_reach * deviation, teacher)

        def distance(images: Tensor, wanted: Tensor = wanted) -> Tensor:
            with mixed_precision(config.precision, device_of(teacher)):
                answers = teacher(images)
            return functional.smooth_l1_loss(answers.to(torch.float32), wanted, reduction="sum")

        step = _REACH / max(1, config.nudge_steps)
        moved = descend(distance, beside(part, teacher), config.nudge_steps, step)
        nudged.append(to_device(moved, part.device))
    return torch.cat(nudged)


def descend(
    distance: Callable[[Tensor], Tensor | None], images_u8: Tensor, steps: int, step: float = 2 / 255
) -> Tensor:
    """Take normalised gradient steps on pixels, uint8 in and out; `distance` maps [0, 1] images to a sum.

    A pixel moves by `step` on average. Where `distance` gives None there is no way left to go, and the
    steps end early.
    """
    images = as_images(images_u8)
    for _ in range(steps):
        images.requires_grad_(True)
        remaining = distance(images)
        if remaining is None:
            break
        (gradient,) = torch.autograd.grad(remaining, images)
        scale = gradient.abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-12)
        images = (images.detach() - step * (gradient / scale).clamp(-3, 3)).clamp(0, 1)
    return (images.detach() * 255).round().to(torch.uint8)


def random_answers(task: Task, count: int, side: int, generator: torch.Generator) -> Tensor:
    """Return wanted answers of unit scale: (count, 1), or (count, 1, side, side) on random smooth masks."""
    wanted = torch.randn((count, 1), generator=generator)
    if task is Task.CLASSIFICATION:
        return wanted
    coarse = torch.randn((count, 1, 4, 4), generator=generator)
    masks = functional.interpolate(coarse, size=(side, side), mode="bicubic").sign()
    return wanted.view(-1, 1, 1, 1) * masks
