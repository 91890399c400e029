"""Nets with random weights, so small that an adapter between two of them is learned in a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from transplant.nets.disclosures import ClassStatistics, DisclosedStatistics
from transplant.nets.learning import AdapterProblem
from transplant.nets.teacher_net import TeacherNet
from transplant.nets.transplant_net import freeze
from transplant.types import Architecture, Disclosure, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALL = Architecture(
    "vgg_small", (("image_px", (32,)), ("channels", (8,)), ("widths", (12, 16)), ("hidden", (20,)))
)


def tiny_net(
    seed: int, architecture: Architecture = SMALL, tasks: Sequence[Task] = tuple(Task)
) -> TeacherNet:
    """Return a frozen teacher net."""
    net = TeacherNet(architecture, tasks)
    net.initialise(seed)
    return freeze(net)


def strangers(
    task: Task = Task.CLASSIFICATION,
    architecture: Architecture = SMALL,
    tasks: Sequence[Task] = tuple(Task),
    *,
    mean_norm: float | None = None,
) -> AdapterProblem:
    """Return the problem between two nets that were never trained together.

    Args:
        task: what the adapter is for.
        architecture: of both.
        tasks: what both can do; of a large architecture no more than `task`.
        mean_norm: told of the features of both, or of neither.
    """
    teacher, host = (tiny_net(seed, architecture, tasks) for seed in (1, 2))
    return AdapterProblem(
        teacher.category_module,
        teacher.task_modules[task.value],
        host.task_modules[task.value],
        host.category_module,
        architecture,
        architecture,
        task,
        mean_norm,
        mean_norm,
    )


def pca_statistics() -> DisclosedStatistics:
    """Return what a site of `SMALL` might disclose of x, the same with its category and without."""
    generator = torch.Generator().manual_seed(0)
    one = ClassStatistics(
        200,
        torch.full((8,), 0.5),
        0.1 * torch.eye(8),
        torch.rand(8, 16, 16, generator=generator),
        0.1 * torch.rand(4, 8, 16, 16, generator=generator),
        torch.full((8,), 0.01),
    )
    return DisclosedStatistics(Disclosure.PCA, (one, one))
