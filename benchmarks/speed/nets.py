"""Random He-initialised nets: time and memory do not depend on what a net has learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from transplant.nets.architecture_table import default_architecture, seam_of
from transplant.nets.learning import AdapterProblem
from transplant.nets.teacher_net import TeacherNet
from transplant.nets.transplant_net import freeze

if TYPE_CHECKING:
    from benchmarks.speed.cases import Case


def same_net_problem(case: Case) -> AdapterProblem:
    """Return Experiment 1: host and teacher are one net, the channels of x are permuted."""
    net = _net(case, 0)
    channels = seam_of(net.architecture).channels
    order: list[int] = torch.randperm(channels, generator=torch.Generator().manual_seed(0)).tolist()
    return _problem(case, net, net, tuple(order))


def strangers_problem(case: Case) -> AdapterProblem:
    """Return Experiment 2 or 3: host and teacher are two nets."""
    return _problem(case, _net(case, 0), _net(case, 1), None)


def _net(case: Case, seed: int) -> TeacherNet:
    net = TeacherNet(default_architecture(case.arch, case.image_px), [case.task])
    net.initialise(seed)
    return freeze(net.to(memory_format=torch.channels_last))  # pyright: ignore[reportCallIssue] - absent from the stubs


def _problem(
    case: Case, teacher: TeacherNet, host: TeacherNet, reorder: tuple[int, ...] | None
) -> AdapterProblem:
    return AdapterProblem(
        teacher.category_module,
        teacher.task_modules[case.task.value],
        host.task_modules[case.task.value],
        host.category_module,
        teacher.architecture,
        host.architecture,
        case.task,
        mean_norm=1.0,
        host_mean_norm=1.0,
        reorder=reorder,
    )
