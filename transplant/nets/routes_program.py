"""All routes of one task as one plain torch module, for programs that leave this project."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transplant.nets.transplant_net import TransplantNet
    from transplant.types import Task


class RoutesProgram(nn.Module):
    """Float32 images (B, 3, side, side) in [0, 1] -> logits (B, G), or (B, G, side, side).

    It has no branch that looks at a value or a size, so that it can be traced; each g_S runs once for the
    maps of all its categories. Weights that routes share are the same objects.

    Args:
        net: the net.
        task: whose routes.
        categories: which of them, in the order of the second dimension of the answer.

    Raises:
        NotFound: if there is no such route.
    """

    def __init__(self, net: TransplantNet, task: Task, categories: Sequence[str]) -> None:
        super().__init__()
        routes = [net.route(category, task) for category in categories]
        hosts = list(dict.fromkeys(route.task_module for route in routes))
        self.category_modules = nn.ModuleList(route.category_module for route in routes)
        self.adapters = nn.ModuleList(route.adapter for route in routes)
        self.hosts = nn.ModuleList(hosts)
        members = [
            [place for place, route in enumerate(routes) if route.task_module is host] for host in hosts
        ]
        self._members = members
        flat = [place for places in members for place in places]
        self._order = [flat.index(place) for place in range(len(flat))]
        self.eval()

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the logits of every category."""
        told: list[Tensor] = []
        for host, places in zip(self.hosts, self._members, strict=True):
            maps = [self._adapted(images_BCHW, place) for place in places]
            rows = cast("Tensor", host(torch.cat(maps))).squeeze(1)
            told += list(rows.unflatten(0, (len(places), -1)).unbind(0))
        return torch.stack([told[place] for place in self._order], dim=1)

    def _adapted(self, images_BCHW: Tensor, place: int) -> Tensor:
        return self.adapters[place](self.category_modules[place](images_BCHW))
