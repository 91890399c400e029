"""Refining an adapter at a site, on its own images: f and g_S frozen, only h moves.

The center learns h from images that it makes up; a site has the real ones. So for a few steps h learns
there that g_S(h(f(I))) answers as the site's own teacher g_T(f_T(I)) does, by the imitation loss of
function distillation (`transplant.datafree.function_distillation`), on all images of the site, moved a
little in every step. Not one label is needed for that: it is the ceiling of what the center can reach
with its own means. Where the site's policy spends some labels, a few labelled images join each
batch, with the teacher's answers again and with the task loss of their labels.

`prepare`, `init`, `step` and `finish` are pure, as a learner's are; `refine` drives them through one round.
Images stay where they are: what comes out is a difference of the adapter's tensors, with figures.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from transplant.datafree.answer_scale import deviation_of
from transplant.datafree.function_distillation import balanced_odds, imitation_loss, moved
from transplant.errors import DatasetInvalid
from transplant.nets.losses import task_loss
from transplant.nets.measures import as_images
from transplant.nets.optimiser import adam_state, adam_step, cosine, load_parameters
from transplant.nets.pixel_budget import images_at_once
from transplant.nets.precision import mixed_precision
from transplant.nets.seeded import seeded
from transplant.refinement.label_budget import chosen_labels
from transplant.refinement.round_delta import RoundDelta, clipped, parameters_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from transplant.nets.adapter import Adapter
    from transplant.nets.learning import LabelledSamples
    from transplant.refinement.refinement_config import RefinementConfig
    from transplant.types import Task

    Augment = Callable[[Tensor, Tensor | None, torch.Generator], tuple[Tensor, Tensor | None]]

_WARM_UP = 20
_STEPS_A_ROUND = 10_000_000  # more than any round has: no two steps share a generator


@dataclass(frozen=True, eq=False)
class RefinementProblem:
    """What a site refines an adapter with; all nets are frozen.

    Attributes:
        category_module: f of the route.
        task_module: g_S, which the route leads into.
        teacher_category_module: f of the site's own teacher; the very object of `category_module` where it
            is the same net, so that it runs once.
        teacher_task_module: g_T of the site's own teacher.
        task: which task.
        images: all of the site's images to learn from, uint8 (N, 3, H, W).
        labelled: those of them that have a target, with it; None where labels are not to be read.
        augment: changes a batch (and its masks) without changing what is in it; None: shifts alone.
    """

    category_module: nn.Module
    task_module: nn.Module
    teacher_category_module: nn.Module
    teacher_task_module: nn.Module
    task: Task
    images: Tensor
    labelled: LabelledSamples | None = None
    augment: Augment | None = None

    def __post_init__(self) -> None:
        if not len(self.images):
            raise DatasetInvalid("there is no image to refine the adapter on")

    def features(self, images_u8: Tensor) -> tuple[Tensor, Tensor]:
        """Return the route's x and the teacher's answers in float32."""
        images = as_images(images_u8)
        with torch.no_grad():
            features = self.category_module(images)
            own = self.teacher_category_module
            theirs = features if own is self.category_module else own(images)
            return features, self.teacher_task_module(theirs).to(torch.float32)

    def moved(
        self, images_u8: Tensor, targets: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Return changed images, and their masks changed alike; labels stay as they are."""
        masks = targets if targets is not None and targets.ndim > 1 else None
        if self.augment is not None:
            images, masks = self.augment(images_u8, masks, generator)
        else:
            images, masks = shifted(images_u8, masks, generator)
        return images, targets if masks is None else masks


@dataclass(frozen=True, eq=False)
class Material:
    """What a round needs besides: odds of drawing an image, the scale of g_T's answers, chosen labels."""

    odds: Tensor
    mean: float
    deviation: float
    labelled: LabelledSamples | None


@dataclass(frozen=True)
class RoundState:
    """Between two steps: how many are done, every tensor that the next one needs, the losses so far."""

    step: int
    tensors: dict[str, Tensor]
    loss: float = 0.0
    task_loss: float = 0.0


def refine(
    problem: RefinementProblem,
    config: RefinementConfig,
    adapter: Adapter,
    *,
    round_number: int = 1,
    rounds: int = 1,
) -> RoundDelta:
    """Do the work of one round at one site.

    Args:
        problem: the site's nets and images.
        config: the knobs; all randomness comes from its seed and the number of the round.
        adapter: h as it stands before this round; it is left as it is.
        round_number: which round, from 1 on.
        rounds: how many there are in all; the learning rate's cosine goes over all of them.

    Returns:
        The difference that the round made to the adapter's parameters, with its figures.

    Raises:
        DatasetInvalid: if labels are to be read and there are none.
    """
    material = prepare(problem, config)
    state = init(adapter)
    while state.step < config.steps:
        state = step(problem, config, material, adapter, state, (round_number, rounds))
    return finish(problem, config, material, adapter, state)


def prepare(problem: RefinementProblem, config: RefinementConfig) -> Material:
    """Let the teacher answer every image once, for the odds and the scale, and choose the labels.

    The same labels are chosen in every round, so that a budget of 10 is 10 labels and not 10 a round.
    """
    parts = problem.images.split(images_at_once(problem.images.shape[-1], 256, 1 << 20))
    answers = torch.cat([_coarse(problem.features(part)[1]) for part in parts])
    labelled = None
    if config.labels:
        if problem.labelled is None:
            raise DatasetInvalid("labels are to be learned from, and none were given")
        labelled = chosen_labels(problem.labelled, config.labels, seeded(config.seed, 0))
    return Material(
        balanced_odds(answers), float(answers.mean()), deviation_of(answers, least=1e-3), labelled
    )


def init(adapter: Adapter) -> RoundState:
    """Return the state before the first step: the adapter as it is, Adam's moments at zero."""
    return RoundState(0, adam_state(adapter))


def step(
    problem: RefinementProblem,
    config: RefinementConfig,
    material: Material,
    adapter: Adapter,
    state: RoundState,
    place: tuple[int, int] = (1, 1),
) -> RoundState:
    """Take one Adam step on a batch of the site's images, and of the labelled ones where there are any.

    Args:
        problem: the site's nets and images.
        config: the knobs.
        material: of `prepare`.
        adapter: gives the architecture and beta; its parameters are not looked at.
        state: before this step.
        place: number of the round, and of all rounds.
    """
    round_number, rounds = place
    working = _with(adapter, state.tensors)
    generator = seeded(config.seed, round_number * _STEPS_A_ROUND + state.step)
    drawn = torch.multinomial(material.odds, config.batch, replacement=True, generator=generator)
    images, _ = problem.moved(problem.images[drawn], None, generator)
    logits, wanted = _answers(problem, config, working, images)
    loss = imitation_loss(logits, wanted, material.mean, material.deviation)
    task = torch.zeros(())
    if material.labelled is not None:
        count = len(material.labelled.images)
        order = torch.randperm(count, generator=generator)[: max(1, config.batch // 2)]
        targets = material.labelled.targets[order]
        images, told = problem.moved(material.labelled.images[order], targets, generator)
        logits, wanted = _answers(problem, config, working, images)
        task = task_loss(logits, targets if told is None else told, problem.task)
        loss = loss + imitation_loss(logits, wanted, material.mean, material.deviation)
        loss = loss + config.label_weight * task
    loss.backward()
    done = (round_number - 1) * config.steps + state.step
    warm = min(1.0, (state.step + 1) / max(1, min(_WARM_UP, config.steps // 4)))  # moments are young again
    rate = warm * cosine(done, rounds * config.steps, config.learning_rate, warm_up=1)
    return RoundState(
        state.step + 1,
        adam_step(working, state.tensors, state.step, rate),
        state.loss + float(loss.detach()),
        state.task_loss + float(task.detach()),
    )


def finish(
    problem: RefinementProblem,
    config: RefinementConfig,
    material: Material,
    adapter: Adapter,
    state: RoundState,
) -> RoundDelta:
    """Return what the round changed, no longer than the config allows."""
    before, after = parameters_of(adapter), parameters_of(_with(adapter, state.tensors))
    delta = clipped({name: after[name] - before[name] for name in before}, config.clip_norm)
    steps = max(1, state.step)
    figures = {
        "images": float(len(problem.images)),
        "labels": 0.0 if material.labelled is None else float(len(material.labelled.images)),
        "loss": state.loss / steps,
    }
    if material.labelled is not None:
        figures["task_loss"] = state.task_loss / steps
    return RoundDelta(delta, figures)


def shifted(
    images_u8: Tensor, masks: Tensor | None, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Shift images and masks a little, as function distillation does with labelled samples."""
    targets = torch.zeros(len(images_u8)) if masks is None else masks
    images, targets = moved(images_u8, targets, generator)
    return images, None if masks is None else targets


def _answers(
    problem: RefinementProblem, config: RefinementConfig, adapter: Adapter, images_u8: Tensor
) -> tuple[Tensor, Tensor]:
    with mixed_precision(config.precision):
        features, wanted = problem.features(images_u8)
        return problem.task_module(adapter(features)).to(torch.float32), wanted


def _with(adapter: Adapter, tensors: dict[str, Tensor]) -> Adapter:
    """Return the adapter with these parameters, ready to learn."""
    working = copy.deepcopy(adapter).requires_grad_(True)
    load_parameters(working, tensors)
    return working


def _coarse(answers: Tensor) -> Tensor:
    """Return answers as they are told apart by the odds: maps are thinned out, they only say yes or no."""
    return answers if answers.ndim < 4 else answers[:, :, ::4, ::4]
