"""Founding a net at sites with different categories: every site has its own f, all share the task modules.

It is the traditional multi-category learning of arXiv 1901.06978 (figure 1, step 1) without pooling data: a
site trains f and g on its own labels; f stays with it, and of g the difference of a round is sent and
averaged (McMahan et al. 2017, FedAvg, on a part of the net). All start from the same seeded g, so that a
difference says it all. What comes of it answers for features of every founding category, which makes it a
better place to lead others into than a g that one category was enough for.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from transplant.errors import DatasetInvalid
from transplant.nets.losses import task_loss
from transplant.nets.measures import as_images
from transplant.nets.optimiser import cosine
from transplant.nets.precision import mixed_precision
from transplant.nets.seeded import seeded
from transplant.nets.teacher_net import TeacherNet
from transplant.refinement.round_delta import RoundDelta, clipped, parameters_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from transplant.refinement.adapter_refinement import Augment
    from transplant.refinement.founding_config import FoundingConfig
    from transplant.types import Architecture, Task

_STEPS_A_ROUND = 10_000_000


@dataclass(frozen=True, eq=False)
class FoundingProblem:
    """A founding site's labelled images, uint8 (N, 3, H, W): labels (N,), masks (N, H, W) if it has any."""

    images: Tensor
    labels: Tensor
    masks: Tensor | None = None
    augment: Augment | None = None

    def __post_init__(self) -> None:
        if not len(self.images):
            raise DatasetInvalid("there is no image to found a net with")


@dataclass(frozen=True, eq=False)
class FoundedRound:
    """What leaves the site, and the net that stays: f is the site's own, g as it stood here at the end."""

    shared: RoundDelta
    net: TeacherNet


def founding_net(architecture: Architecture, tasks: Sequence[Task], seed: int) -> TeacherNet:
    """Return the net that every founding site starts from: of equal arguments, equal bits.

    Raises:
        UnknownArchitecture: if it is not in the table.
    """
    net = TeacherNet(architecture, tasks)
    net.initialise(seed)
    return net


def found(
    problem: FoundingProblem,
    config: FoundingConfig,
    net: TeacherNet,
    *,
    round_number: int = 1,
    rounds: int = 1,
) -> FoundedRound:
    """Do the work of one founding round at one site.

    Args:
        problem: the site's labelled images.
        config: the knobs; all randomness comes from its seed and the number of the round.
        net: the site's own f under the shared task modules as they stand; it is left as it is.
        round_number: which round, from 1 on.
        rounds: how many there are in all.

    Returns:
        The difference that the round made to the task modules, named "<task>.<parameter>", and the net.

    Raises:
        DatasetInvalid: if the net has a task for which there are no masks, or the training diverges.
    """
    trained = copy.deepcopy(net).requires_grad_(True).train()
    parameters = list(trained.parameters())
    optimiser = torch.optim.SGD(parameters, config.learning_rate, 0.9, weight_decay=config.weight_decay)
    losses = 0.0
    for index in range(config.steps):
        part = round_number * _STEPS_A_ROUND + index
        generator = seeded(config.seed, part)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))  # dropout draws from it
            loss = _loss(problem, config, trained, generator)
            optimiser.zero_grad()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, config.gradient_norm or math.inf)
        done = (round_number - 1) * config.steps + index
        optimiser.param_groups[0]["lr"] = cosine(done, rounds * config.steps, config.learning_rate)
        optimiser.step()
        losses += float(loss.detach())
    if not math.isfinite(losses):
        raise DatasetInvalid("the founding diverges on this site's images: take a lower learning rate")
    before, after = parameters_of(net.task_modules), parameters_of(trained.task_modules)
    delta = clipped({name: after[name] - before[name] for name in before}, config.clip_norm)
    told = {"images": float(len(problem.images)), "labels": float(len(problem.images))}
    told |= {"loss": losses / config.steps, "task_loss": losses / config.steps}
    return FoundedRound(RoundDelta(delta, told), trained.eval())


def _loss(
    problem: FoundingProblem, config: FoundingConfig, net: TeacherNet, generator: torch.Generator
) -> Tensor:
    chosen = torch.randint(len(problem.images), (config.batch,), generator=generator)
    images, labels = problem.images[chosen], problem.labels[chosen]
    masks = None if problem.masks is None else problem.masks[chosen]
    if problem.augment is not None:
        images, masks = problem.augment(images, masks, generator)
    with mixed_precision(config.precision):
        answers = net(as_images(images))
    total = torch.zeros(())
    for task, logits in answers.items():
        targets = labels if logits.ndim == 2 else masks
        if targets is None:
            raise DatasetInvalid(f"the net to be founded answers {task}, and this site has no masks")
        total = total + task_loss(logits.to(torch.float32), targets, task)
    return total
