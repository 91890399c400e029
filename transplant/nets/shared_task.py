"""One task module for the maps of many categories: memory bounded, its heavy weights read once.

g_S is cut where its maps are smallest. Below the cut are the convolutions over places: they run on so few
maps at a time that these stay in the cache. Above it lie most of the weights (fully connected layers: 120 of
the 134 million of VGG-16's g), which must be read from memory however few rows they meet: they run once for
as many rows as there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from transplant.nets.lean_chain import run_chain
from transplant.nets.task_module import ClassificationModule, SegmentationModule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_ROWS = 256
"""Rows that the upper part takes at a time: 25 MB of VGG-16's last maps."""


class SharedTask:
    """g_S in two parts.

    Args:
        task_module: g_S, frozen.
    """

    def __init__(self, task_module: nn.Module) -> None:
        self._look: Callable[[Tensor], tuple[Tensor, ...]] = lambda maps: (maps,)
        self._decide: Callable[..., Tensor] = task_module
        if isinstance(task_module, SegmentationModule):
            self._look = lambda maps: task_module.look(maps, run_chain)
            self._decide = task_module.decide
        elif isinstance(task_module, ClassificationModule):
            layers = list(task_module.layers)
            pools = [place for place, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
            cut = pools[-1] + 1 if pools else 0
            self._look = lambda maps: (run_chain(layers[:cut], maps),)
            self._decide = lambda maps: run_chain(layers[cut:], maps).flatten(1)

    def logits(self, parts: Iterable[Tensor]) -> Tensor:
        """Return the logits of maps that come in parts, (N, 1) or (N, 1, H, W) for N maps in all.

        Args:
            parts: of shape (n, C, H, W), few maps each; the next part is made when this one is done with.
        """
        told: list[Tensor] = []
        waiting: list[tuple[Tensor, ...]] = []
        for part in parts:
            waiting.append(self._look(part))
            if sum(len(seen[0]) for seen in waiting) >= _ROWS:
                told.append(self._answer(waiting))
                waiting = []
        if waiting:
            told.append(self._answer(waiting))
        return told[0] if len(told) == 1 else torch.cat(told)

    def _answer(self, waiting: list[tuple[Tensor, ...]]) -> Tensor:
        seen = waiting[0] if len(waiting) == 1 else tuple(map(torch.cat, zip(*waiting, strict=True)))
        return self._decide(*seen)
