"""Function distillation: min_h E_{x ~ q} l(g_S(h(x)), g_T(x)) with the real forward pass of the frozen g_S.

Pseudo-gradients alone cannot join nets that were trained apart: they do not see biases, and without
second dummies they have a low rank. Here h is learned so that the answers agree on synthetic x (see
`transplant.datafree.sources`). Labelled samples, where the learner is given any, join each batch: their
x, moved a little, with g_T's answers and with the labels.

The loss is smooth-L1 on logits standardised by g_T's own mean and deviation, plus cross-entropy
between the two probabilities; per pixel for segmentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from transplant.datafree.agreement import agreement
from transplant.datafree.answer_scale import deviation_of
from transplant.datafree.sources import Synthetic, held_out_part, synthesise
from transplant.nets.finite import check_finite
from transplant.nets.learning import (
    AdapterProblem,
    LabelledSamples,
    LearnedAdapter,
    LearnerState,
    disclosed_beta,
    new_adapter,
    step_generator,
)
from transplant.nets.losses import task_loss
from transplant.nets.measures import as_images, mean_norm
from transplant.nets.optimiser import adam_state, adam_step, cosine, load_parameters
from transplant.nets.placement import CPU, beside, device_of, placed, to_device
from transplant.nets.precision import mixed_precision

if TYPE_CHECKING:
    from transplant.nets.learner_config import LearnerConfig

_CALIBRATION = 256


@dataclass(frozen=True)
class Material:
    """Synthetic inputs with g_T's answers, a held-out part, and the scales."""

    synthetic: Synthetic
    held_out: Synthetic
    odds: Tensor  # of drawing an input into a batch
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
        """Synthesise x and let g_T answer (or take the answers that the site gave)."""
        synthetic, held_out = synthesise(problem, config)
        answers = synthetic.answers
        return Material(
            synthetic,
            held_out,
            balanced_odds(answers),
            float(answers.mean()),
            deviation_of(answers, least=1e-3),
            _beta(problem, synthetic.images[-_CALIBRATION:]),
        )

    def init(self, problem: AdapterProblem, config: LearnerConfig, material: Material) -> LearnerState:
        """Start at the given adapter, or transparent with a little noise to break the symmetry of taps."""
        adapter, _ = new_adapter(problem, config, material.beta)
        if self.start is not None:
            adapter.load_state_dict(placed(dict(self.start.state_dict()), device_of(adapter)))
            return LearnerState(0, adam_state(adapter))
        adapter.start_near_transparent(1.0, 0.3, step_generator(config, -1))
        return LearnerState(0, adam_state(adapter))

    def step(
        self, problem: AdapterProblem, config: LearnerConfig, material: Material, state: LearnerState
    ) -> tuple[LearnerState, dict[str, float]]:
        """Take one Adam step on a batch of synthetic x, and of the labelled samples if there are any."""
        adapter, _ = new_adapter(problem, config, material.beta)
        load_parameters(adapter, state.tensors)
        generator = step_generator(config, state.step)
        odds = to_device(material.odds, CPU)  # as every draw
        chosen = torch.multinomial(odds, config.batch, replacement=True, generator=generator)
        with mixed_precision(config.precision, device_of(adapter)):
            features, wanted = material.synthetic.batch(problem, chosen)
            logits = problem.host_task_module(adapter(features)).to(torch.float32)
        loss = imitation_loss(logits, wanted, material.mean, material.deviation)
        figures = {"loss": float(loss.detach())}
        if problem.labelled is not None:
            task, imitation = _labelled_losses(
                problem, problem.labelled, config, material, adapter, generator
            )
            loss = loss + imitation + config.label_weight * task
            figures["task"] = float(task.detach())
        loss.backward()
        rate = cosine(state.step, config.steps, config.learning_rate)
        tensors = adam_step(adapter, state.tensors, state.step, rate)
        return LearnerState(state.step + 1, tensors), figures

    @torch.no_grad()
    def finish(
        self, problem: AdapterProblem, config: LearnerConfig, material: Material, state: LearnerState
    ) -> LearnedAdapter:
        """Return the adapter with its agreement with g_T on x that it was not learned on."""
        adapter, architecture = new_adapter(problem, config, material.beta)
        load_parameters(adapter, state.tensors)
        adapter.eval()
        held_out = material.held_out
        answers = held_out.answers_of(problem, nn.Sequential(adapter, problem.host_task_module))
        answers = _on_grid(answers, held_out.answers)
        loss = imitation_loss(answers, held_out.answers, material.mean, material.deviation)
        figures = agreement(answers, held_out.answers) | {"loss": float(loss), "beta": material.beta}
        return LearnedAdapter(adapter, architecture, figures)


def agreement_of(adapter: nn.Module, problem: AdapterProblem, config: LearnerConfig) -> dict[str, float]:
    """Return the agreement with g_T of an adapter that others learned, on x that this learner holds out."""
    held_out = held_out_part(problem, config)  # moved by gradients, some of it
    return agreement_on(held_out, problem, nn.Sequential(adapter, problem.host_task_module))


def agreement_on(held_out: Synthetic, problem: AdapterProblem, head: nn.Module) -> dict[str, float]:
    """Return the agreement with g_T of what follows f, on x that was held out."""
    answers = held_out.answers_of(problem, head)
    return agreement(_on_grid(answers, held_out.answers), held_out.answers)


def balanced_odds(answers: Tensor) -> Tensor:
    """Return odds (N,) with which half of a batch holds what g_T calls the category.

    They are on the CPU, where every draw is made. An input counts as such where its logit is positive, or
    more than 1 % of its pixels' logits are. Synthetic images rarely are; unbalanced, an adapter learns to
    say no.
    """
    positive = to_device((answers > 0).flatten(1).mean(1, dtype=torch.float32), CPU) > 0.01
    share = float(positive.to(torch.float32).mean())
    if not 0 < share < 1:
        return torch.ones(len(answers))
    return torch.where(positive, 0.5 / share, 0.5 / (1 - share))


def imitation_loss(student: Tensor, teacher: Tensor, mean: float, deviation: float) -> Tensor:
    """Return smooth-L1 of the standardised logits plus the cross-entropy of the two probabilities.

    Answers on a coarse grid are compared with the student's mean logits on that grid.
    """
    student = _on_grid(student, teacher)
    regression = functional.smooth_l1_loss((student - mean) / deviation, (teacher - mean) / deviation)
    return regression + functional.binary_cross_entropy_with_logits(student, teacher.sigmoid())


def _on_grid(student: Tensor, teacher: Tensor) -> Tensor:
    if student.shape[-1] == teacher.shape[-1]:
        return student
    return functional.adaptive_avg_pool2d(student, teacher.shape[-1])


def _labelled_losses(
    problem: AdapterProblem,
    labelled: LabelledSamples,
    config: LearnerConfig,
    material: Material,
    adapter: nn.Module,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return the task loss and the imitation loss on a draw of the labelled samples, moved a little."""
    images, targets = labelled.images, labelled.targets
    size = min(config.batch // 2, len(images))
    chosen = torch.randperm(len(images), generator=generator)[:size]
    images, targets = moved(images[chosen], targets[chosen], generator)
    images, targets = beside(images, adapter), beside(targets, adapter)
    with mixed_precision(config.precision, device_of(adapter)):
        with torch.no_grad():
            features = problem.category_module(as_images(images))
        logits = problem.host_task_module(adapter(features)).to(torch.float32)
    task = task_loss(logits, targets, problem.task)
    if problem.teacher_task_module is None:
        return task, torch.zeros(())
    with torch.no_grad(), mixed_precision(config.precision, device_of(adapter)):
        wanted = problem.teacher(features).to(torch.float32)
    check_finite(wanted, "the teacher's answers to labelled samples")
    return task, imitation_loss(logits, wanted, material.mean, material.deviation)


def moved(images_u8: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Shift a batch of images by up to an eighth of their side, edges repeated, the masks with them.

    Mirroring is left out: it would change what some categories (characters) are.
    """
    side = images_u8.shape[-1]
    reach = side // 8
    shifts = torch.randint(-reach, reach + 1, (2, len(images_u8)), generator=generator)
    places = torch.arange(side).view(1, side)
    rows, columns = ((places + shift.view(-1, 1)).clamp(0, side - 1) for shift in shifts)
    index = torch.arange(len(images_u8)).view(-1, 1, 1)
    moved_images = images_u8.permute(0, 2, 3, 1)[index, rows.unsqueeze(2), columns.unsqueeze(1)]
    if targets.ndim > 1:
        targets = targets[index, rows.unsqueeze(2), columns.unsqueeze(1)]
    return moved_images.permute(0, 3, 1, 2), targets


def _beta(problem: AdapterProblem, images_u8: Tensor) -> float:
    """Return E||f_S(I)||_F / E||f(I)||_F: as disclosed, or both on the same synthetic images."""
    if problem.mean_norm is not None and problem.host_mean_norm is not None:
        return disclosed_beta(problem)
    if not len(images_u8):
        return 1.0  # features without images: nothing to push through the host's f
    host, own = (mean_norm(f, images_u8) for f in (problem.host_category_module, problem.category_module))
    return host / max(own, 1e-12)
