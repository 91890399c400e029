"""Measure teacher, universal route and floor side by side, on data that stays here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from transplant.nets.measures import floor, measure
from transplant.nets.placement import CPU, placed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from torch import Tensor, nn

    from edge.datasets.site_dataset import SiteDataset
    from transplant.nets.teacher_net import TeacherNet
    from transplant.nets.transplant_net import TransplantNet
    from transplant.types import Task


@dataclass(frozen=True)
class RouteFigures:
    """Percentages of one route; `transplanted` is empty where the net has no such route (yet)."""

    task: Task
    teacher: dict[str, float]
    transplanted: dict[str, float]
    floor: dict[str, float]
    sample_count: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a report."""
        return asdict(self) | {"task": self.task.value}


def measure_route(
    teacher: TeacherNet,
    route: nn.Module | None,
    data: SiteDataset,
    task: Task,
    device: torch.device = CPU,
    look: Callable[[Tensor, Tensor], None] | None = None,
) -> RouteFigures:
    """Measure one task three ways on one split.

    Args:
        teacher: the site's own net.
        route: the universal net's route, images -> logits, or None.
        data: the split to measure on.
        task: which task.
        device: what both run on; they stay where they are.
        look: shown the route's logits with the targets, see `measure`.

    Raises:
        DatasetInvalid: if the data has no targets of this task.
    """
    _, targets = data.examples(task)
    own = placed(teacher.eval().route(task), device)
    return RouteFigures(
        task,
        measure(own, data.batches(task), task),
        {} if route is None else measure(placed(route, device), data.batches(task), task, look),
        floor([targets], task),
        len(targets),
    )


def measure_net(
    teacher: TeacherNet,
    net: TransplantNet | None,
    category: str,
    tasks: Sequence[Task],
    data: SiteDataset,
    device: torch.device = CPU,
) -> list[RouteFigures]:
    """Measure every task of a site; tasks without a route in `net` have no transplanted figures."""
    return [measure_route(teacher, _route(net, category, task), data, task, device) for task in tasks]


def _route(net: TransplantNet | None, category: str, task: Task) -> nn.Module | None:
    if net is None or all((line.category, line.task) != (category, task) for line in net.version.routes):
        return None
    return net.route(category, task)
