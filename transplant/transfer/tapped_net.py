"""A net whose feature maps at some points are seen beside its answers.

The points are named by submodule, so that any net can be a source or a target of transfer: one of ours,
torchvision's, or a category module. Works under `torch.func.functional_call`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from transplant.errors import TransferNotPossible

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Tap:
    """One point: what goes into a submodule, or what comes out of it."""

    module: str
    side: Literal["input", "output"] = "output"


@dataclass(frozen=True, eq=False)
class Seen:
    """What a net made of a batch: feature maps (B, C, H, W) at the taps in their order, and its answers."""

    features: tuple[Tensor, ...]
    answers: Any


class TappedNet(nn.Module):
    """Runs a net and returns `Seen`.

    Args:
        net: any net.
        taps: where to look, lowest first.

    Raises:
        TransferNotPossible: if there is no tap, or one names no submodule.
    """

    def __init__(self, net: nn.Module, taps: Sequence[Tap]) -> None:
        super().__init__()
        known = dict(net.named_modules())
        missing = [tap.module for tap in taps if tap.module not in known]
        if missing or not taps:
            raise TransferNotPossible(
                f"the net has no layers {', '.join(missing) or 'to be looked at'}: no features can be matched"
            )
        self.net = net
        self.taps = tuple(taps)

    def forward(self, images_BCHW: Tensor) -> Seen:
        """Return the feature maps and the answers of one pass."""
        caught: dict[int, Tensor] = {}
        modules = dict(self.net.named_modules())
        hooks = [
            modules[tap.module].register_forward_pre_hook(partial(_catch_input, caught, place))
            if tap.side == "input"
            else modules[tap.module].register_forward_hook(partial(_catch_output, caught, place))
            for place, tap in enumerate(self.taps)
        ]
        try:
            answers = self.net(images_BCHW)
        finally:
            for hook in hooks:
                hook.remove()
        return Seen(tuple(caught[place] for place in range(len(self.taps))), answers)

    @torch.no_grad()
    def feature_shapes(self, images_BCHW: Tensor) -> list[tuple[int, int, int]]:
        """Return (C, H, W) at each tap for images of this size; the net is in evaluation mode meanwhile."""
        training = self.training
        self.eval()
        try:
            seen: Seen = self(images_BCHW)
            return [(each.shape[1], each.shape[2], each.shape[3]) for each in seen.features]
        finally:
            self.train(training)


def pool_inputs(net: nn.Module) -> list[Tap]:
    """Return taps at what goes into each max-pool, in the order of the net's definition."""
    return [Tap(name, "input") for name, layer in net.named_modules() if isinstance(layer, nn.MaxPool2d)]


def _catch_input(
    caught: dict[int, Tensor], place: int, _layer: nn.Module, inputs: tuple[Tensor, ...]
) -> None:
    caught[place] = inputs[0]


def _catch_output(
    caught: dict[int, Tensor], place: int, _layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor
) -> None:
    caught[place] = output
