"""Function distillation on synthetic features: min_h E_{x ~ q} l(g_S(h(x)), g_T(x)).

Pseudo-gradients alone cannot join nets that were trained apart: they do not see biases, and without
second dummies they have a low rank. Here the frozen g_S runs its real forward pass on x = f(I) for
synthetic images I, and h is learned so that the answers agree. At disclosure `none` the images are
procedural; a share of them can be *nudged*: a few gradient steps on the image towards random logits
of g_T o f, so that g_T's whole range is covered.

The loss is smooth-L1 on logits standardised by g_T's own mean and deviation, plus cross-entropy
between the two probabilities; per pixel for segmentation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from transplant.datafree.agreement import agreement
from transplant.datafree.procedural_images import procedural_images
from transplant.nets.architectures import image_px
from transplant.nets.learning import (
    AdapterProblem,
    LearnedAdapter,
    LearnerConfig,
    LearnerState,
    mixed_precision,
    new_adapter,
    step_generator,
)
from transplant.nets.measures import as_images
from transplant.nets.optimiser import adam_state, adam_step, cosine, load_parameters
from transplant.types import Task

_CHUNK = 128
_HELD_OUT_SEED = 7_919
_CALIBRATION = 256


@dataclass(frozen=True)
class Material:
    """Synthetic images with g_T's answers, a held-out part, and the scales."""

    images: Tensor  # uint8 (N, 3, H, W)
    answers: Tensor  # g_T's logits for them
    odds: Tensor  # of drawing an image into a batch
    held_out: Tensor
    held_out_answers: Tensor
    mean: float  # of g_T's logits
    deviation: float
    beta: float


@dataclass(frozen=True)
class FunctionLearner:
    """Method C; `start` is an adapter to begin with instead of the transparent one."""

    start: nn.Module | None = None

    def total_steps(self, config: LearnerConfig) -> int:
        """Return the number of Adam steps."""
        return config.steps

    def prepare(self, problem: AdapterProblem, config: LearnerConfig) -> Material:
        """Make the images, nudge their share, and let g_T answer all of them."""
        side = image_px(problem.architecture)
        images = procedural_images(config.synthetic_images, side, config.seed, config.drawings)
        nudged = int(config.nudged_share * len(images))
        if nudged:
            images = torch.cat([nudge(problem, config, images[:nudged]), images[nudged:]])
        held_out = procedural_images(
            config.held_out_images, side, config.seed + _HELD_OUT_SEED, config.drawings
        )
        teacher = nn.Sequential(problem.category_module, problem.teacher_task_module)
        answers = _answers(teacher, images)
        return Material(
            images,
            answers,
            balanced_odds(answers),
            held_out,
            _answers(teacher, held_out),
            float(answers.mean()),
            float(answers.std().clamp(min=1e-3)),
            _beta(problem, images[-_CALIBRATION:]),
        )

    def init(self, problem: AdapterProblem, config: LearnerConfig, material: Material) -> LearnerState:
        """Start at the given adapter, or transparent with a little noise to break the symmetry of taps."""
        adapter, _ = new_adapter(problem, config, material.beta)
        if self.start is not None:
            adapter.load_state_dict(self.start.state_dict())
            return LearnerState(0, adam_state(adapter))
        adapter.start_near_transparent(1.0, 0.3, step_generator(config, -1))
        return LearnerState(0, adam_state(adapter))

    def step(
        self, problem: AdapterProblem, config: LearnerConfig, material: Material, state: LearnerState
    ) -> tuple[LearnerState, dict[str, float]]:
        """Take one Adam step on a batch of the synthetic images."""
        adapter, _ = new_adapter(problem, config, material.beta)
        load_parameters(adapter, state.tensors)
        generator = step_generator(config, state.step)
        chosen = torch.multinomial(material.odds, config.batch, replacement=True, generator=generator)
        with mixed_precision(config):
            with torch.no_grad():
                features = problem.category_module(as_images(material.images[chosen]))
            logits = problem.host_task_module(adapter(features))
        loss = imitation_loss(
            logits.to(torch.float32), material.answers[chosen], material.mean, material.deviation
        )
        loss.backward()
        rate = cosine(state.step, config.steps, config.learning_rate)
        tensors = adam_step(adapter, state.tensors, state.step, rate)
        return LearnerState(state.step + 1, tensors), {"loss": float(loss.detach())}

    @torch.no_grad()
    def finish(
        self, problem: AdapterProblem, config: LearnerConfig, material: Material, state: LearnerState
    ) -> LearnedAdapter:
        """Return the adapter with its agreement with g_T on images that it was not learned on."""
        adapter, architecture = new_adapter(problem, config, material.beta)
        load_parameters(adapter, state.tensors)
        adapter.eval()
        student = nn.Sequential(problem.category_module, adapter, problem.host_task_module)
        answers = _answers(student, material.held_out)
        loss = imitation_loss(answers, material.held_out_answers, material.mean, material.deviation)
        figures = agreement(answers, material.held_out_answers) | {"loss": float(loss), "beta": material.beta}
        return LearnedAdapter(adapter, architecture, figures)


def balanced_odds(answers: Tensor) -> Tensor:
    """Return odds (N,) with which half of a batch holds what g_T calls the category.

    An image counts as such where its logit is positive, or more than 1 % of its pixels' logits are.
    Synthetic images rarely are; unbalanced, an adapter learns to say no.
    """
    positive = (answers > 0).flatten(1).to(torch.float32).mean(1) > 0.01
    share = float(positive.to(torch.float32).mean())
    if not 0 < share < 1:
        return torch.ones(len(answers))
    return torch.where(positive, 0.5 / share, 0.5 / (1 - share))


def imitation_loss(student: Tensor, teacher: Tensor, mean: float, deviation: float) -> Tensor:
    """Return smooth-L1 of the standardised logits plus the cross-entropy of the two probabilities."""
    regression = functional.smooth_l1_loss((student - mean) / deviation, (teacher - mean) / deviation)
    return regression + functional.binary_cross_entropy_with_logits(student, teacher.sigmoid())


def nudge(problem: AdapterProblem, config: LearnerConfig, images_u8: Tensor) -> Tensor:
    """Move images a few gradient steps towards random answers of the teacher.

    Each image gets its own wanted logit (segmentation: its own wanted logit on a random smooth mask),
    drawn from a normal law of `config.nudge_reach` deviations of g_T's untouched answers: a teacher is far
    surer on what it was trained on than on any synthetic image, and h must know that range, too.
    Normalised gradient steps of 2/255 keep the picture.

    Args:
        problem: whose f and g_T answer.
        config: `nudge_steps`, `nudge_reach`, `precision`, and the seed.
        images_u8: uint8 (N, 3, H, W).

    Returns:
        uint8 images of the same shape.
    """
    teacher = nn.Sequential(problem.category_module, problem.teacher_task_module)
    deviation = float(_answers(teacher, images_u8[:_CALIBRATION]).std().clamp(min=1.0))
    generator = step_generator(config, -2)
    nudged: list[Tensor] = []
    for part in images_u8.split(_CHUNK):
        images = as_images(part)
        wanted = torch.randn((len(part), 1), generator=generator) * config.nudge_reach * deviation
        if problem.task is Task.SEGMENTATION:
            wanted = wanted.view(-1, 1, 1, 1) * _random_masks(len(part), images.shape[-1], generator)
        for _ in range(config.nudge_steps):
            images.requires_grad_(True)
            with mixed_precision(config):
                answers = teacher(images)
            loss = functional.smooth_l1_loss(answers.to(torch.float32), wanted, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, images)
            scale = gradient.abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-12)
            images = (images.detach() - (2 / 255) * (gradient / scale).clamp(-3, 3)).clamp(0, 1)
        nudged.append((images * 255).round().to(torch.uint8))
    return torch.cat(nudged)


def _random_masks(count: int, side: int, generator: torch.Generator) -> Tensor:
    coarse = torch.randn((count, 1, 4, 4), generator=generator)
    return functional.interpolate(coarse, size=(side, side), mode="bicubic").sign()


@torch.no_grad()
def _answers(net: nn.Module, images_u8: Tensor) -> Tensor:
    return torch.cat([net(as_images(part)) for part in images_u8.split(_CHUNK)])


@torch.no_grad()
def _beta(problem: AdapterProblem, images_u8: Tensor) -> float:
    """Return E||f_S(I)||_F / E||f(I)||_F: as disclosed, or both on the same synthetic images."""
    if problem.mean_norm is not None and problem.host_mean_norm is not None:
        return problem.host_mean_norm / problem.mean_norm
    images = as_images(images_u8)
    norms = [
        f(images).flatten(1).norm(dim=1).mean()
        for f in (problem.host_category_module, problem.category_module)
    ]
    return float(norms[0] / norms[1].clamp(min=1e-12))
