"""How many of a lender's layers a teacher retains where validation is to say (`--retain auto`)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edge.teach.borrowing import first_route, fitting_layers
from edge.teach.teaching import begin, run_epoch, taught_net
from transplant.nets.measures import VOID, measure
from transplant.transfer.layer_transfer import settled, usually_retained
from transplant.types import Task

if TYPE_CHECKING:
    from edge.datasets.site_dataset import SiteDataset
    from edge.teach.borrowing import Loan
    from edge.teach.progress import TeachingProgress
    from edge.teach.recipe import Recipe
    from transplant.nets.teacher_net import TeacherNet
    from transplant.types import Architecture


def choose_retained(
    loan: Loan,
    architecture: Architecture,
    tasks: tuple[Task, ...],
    recipe: Recipe,
    train: SiteDataset,
    validation: SiteDataset,
    told: TeachingProgress,
    device: torch.device,
) -> int:
    """Choose by validation: a quarter of the training with each number of layers that fits.

    Everything up to the last pool is retained unless another number is plainly better, image by image: the
    best of several figures of few validation images is often not the best.
    """
    short = replace(recipe, epochs=max(1, recipe.epochs // 4))
    net = begin(architecture, tasks, short).net
    most = fitting_layers(loan, net)
    usual = min(most, usually_retained(first_route(net)[1]))
    found: dict[int, Tensor] = {}
    for retained in range(most + 1):
        state = begin(architecture, tasks, short, replace(loan, retain=retained), device)
        while not state.finished(short):
            run_epoch(state, train, validation, short)
        found[retained] = right_answers(taught_net(state), validation)
        told.say(f"{retained} layers retained: {100 * float(found[retained].mean()):.2f} on validation")
    return settled(found, usual)


def right_answers(net: TeacherNet, data: SiteDataset) -> Tensor:
    """Return of every image that a task has a target for the share of its answers that are right, in 0 to 1.

    Args:
        net: on the CPU, in evaluation mode.
        data: its images count once for each task.
    """
    found: list[Tensor] = []

    def look(logits: Tensor, targets: Tensor) -> None:
        told = targets.reshape(len(targets), -1) != VOID
        right = (logits.reshape(len(targets), -1) > 0) == (targets.reshape(len(targets), -1) == 1)
        found.append((right & told).sum(1) / told.sum(1))

    for name in net.task_modules:
        measure(net.route(task := Task(name)), data.batches(task), task, look)
    return torch.cat(found)
