"""The pseudo-gradient D': a task module run backwards as a chain of *forward* operations.

arXiv 1901.06978, equation 4b:  D' = f'_conv o f'_dummy o f'_avgpool o ... o f'_conv (G).

- convolution -> transposed convolution with the same weights (and the other way round),
- max-pool -> the derivative of average pooling of the same size,
- dropout -> nothing,
- ReLU -> a dummy: `first` hands G through; `second` multiplies by 1(x_rand > 0).

Nothing here depends on feature maps, so D' of an adapter is a plain forward function of its weights and
one ordinary backward pass trains it ('back-back-propagation').

Shape suffixes: B batch, C channels, H x W the map.
"""

from __future__ import annotations

from enum import StrEnum
from functools import singledispatch
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from transplant.errors import SeamMismatch
from transplant.nets.task_module import ClassificationModule, SegmentationModule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transplant.nets.adapter import Adapter


class DummyRule(StrEnum):
    """Which ReLUs of a task module get the second dummy (section 3.2 and 4.1 to 4.3)."""

    FIRST = "first"
    SECOND = "second"
    LOWEST_SECOND = "lowest-second"


class DummyMasks:
    """The random feature maps x_rand of one sample, shared by g_S and g_T.

    Args:
        rule: which ReLUs are masked.
        generator: where the masks come from.
        positive_share: share of positive elements; the paper's 20 % for the lowest ReLU, 50 % of a
            symmetric random map otherwise.
    """

    def __init__(
        self, rule: DummyRule, generator: torch.Generator, positive_share: float | None = None
    ) -> None:
        self.rule = rule
        self._generator = generator
        self._positive_share = positive_share
        self._masks: dict[str, Tensor] = {}

    def apply(self, gradient_BCHW: Tensor, position: str, *, lowest: bool) -> Tensor:
        """Multiply by the mask of the ReLU at `position`, drawn at its first use.

        Raises:
            SeamMismatch: if the other task module had another map at this place.
        """
        if self.rule is DummyRule.FIRST or (self.rule is DummyRule.LOWEST_SECOND and not lowest):
            return gradient_BCHW
        mask = self._masks.get(position)
        if mask is None:
            mask = self._draw(gradient_BCHW)
            self._masks[position] = mask
        if mask.shape[-2:] != gradient_BCHW.shape[-2:] or mask.shape[1] not in (1, gradient_BCHW.shape[1]):
            raise SeamMismatch(
                f"the second dummy needs task modules of equal layer geometry; at {position} one has "
                f"{tuple(mask.shape[1:])} and the other {tuple(gradient_BCHW.shape[1:])}: use the first dummy"
            )
        return gradient_BCHW * mask

    def _draw(self, gradient_BCHW: Tensor) -> Tensor:
        batch, channels, height, width = gradient_BCHW.shape
        if self.rule is DummyRule.LOWEST_SECOND:  # x' is s1 x s2 x 1, copied over the channels
            channels = 1
        share = self._positive_share
        if share is None:
            share = 0.2 if self.rule is DummyRule.LOWEST_SECOND else 0.5
        uniform = torch.rand((batch, channels, height, width), generator=self._generator)
        return (uniform < share).to(gradient_BCHW.dtype).to(gradient_BCHW.device)


def pseudo_gradient(task_module: nn.Module, gradient: Tensor, masks: DummyMasks) -> Tensor:
    """Return D' at the seam for the output gradient G.

    Args:
        task_module: a `ClassificationModule` or `SegmentationModule`.
        gradient: G: (B, 1, S, S) for classification (S = 1 is the plain case, larger S enlarges D');
            (B, 1, H, W) for segmentation.
        masks: the dummies, the same object for g_S and g_T of one sample.

    Returns:
        D' of shape (B, M, H', W').
    """
    if isinstance(task_module, ClassificationModule):
        return _chain(list(task_module.layers.named_children()), gradient, masks, "layers", lowest=True)
    if isinstance(task_module, SegmentationModule):
        return _with_skips(task_module, gradient, masks)
    raise TypeError(f"no pseudo-gradient for {type(task_module).__name__}")


def adapter_pseudo_gradient(adapter: Adapter, gradient_BCHW: Tensor) -> Tensor:
    """Return D'_S = h^T(B) for B, the pseudo-gradient at g_S's input. Inside h every dummy is the first."""
    gradient = gradient_BCHW
    for convolution in reversed(adapter.chain):
        gradient = layer_pseudo_gradient(convolution, gradient)
    gradient = gradient * adapter.beta
    if adapter.reorder is None:
        return gradient
    return gradient[:, torch.argsort(adapter.reorder)]


def _with_skips(module: SegmentationModule, gradient: Tensor, masks: DummyMasks) -> Tensor:
    at_map: dict[int, Tensor] = {}
    gradient = layer_pseudo_gradient(module.upsamplings[-1], gradient)
    for index in reversed(range(len(module.skips))):
        at_map[module.skips[index]] = layer_pseudo_gradient(module.scores[index], gradient)
        gradient = layer_pseudo_gradient(module.upsamplings[index], gradient)
    gradient = _chain(list(module.head.named_children()), gradient, masks, "head", lowest=False)
    for index in reversed(range(len(module.stages))):
        stage = module.stages[index]
        gradient = _chain(list(stage.named_children()), gradient, masks, f"stages.{index}", lowest=index == 0)
        if index in at_map:
            gradient = gradient + at_map[index]
    return gradient


def _chain(
    layers: Iterable[tuple[str, nn.Module]], gradient: Tensor, masks: DummyMasks, prefix: str, *, lowest: bool
) -> Tensor:
    named = list(layers)
    first_relu = next((name for name, layer in named if isinstance(layer, nn.ReLU)), None)
    for name, layer in reversed(named):
        if isinstance(layer, nn.ReLU):
            gradient = masks.apply(gradient, f"{prefix}.{name}", lowest=lowest and name == first_relu)
        else:
            gradient = layer_pseudo_gradient(layer, gradient)
    return gradient


@singledispatch
def layer_pseudo_gradient(layer: nn.Module, gradient_BCHW: Tensor) -> Tensor:  # noqa: ARG001 - the dispatch's fallback
    """Run one layer backwards as a forward operation (f' in equation 4b)."""
    raise TypeError(f"no pseudo-gradient for a {type(layer).__name__} layer")


@layer_pseudo_gradient.register
def _(layer: nn.Conv2d, gradient_BCHW: Tensor) -> Tensor:
    return functional.conv_transpose2d(
        gradient_BCHW, layer.weight, stride=layer.stride, padding=_pair(layer.padding), groups=layer.groups
    )


@layer_pseudo_gradient.register
def _(layer: nn.ConvTranspose2d, gradient_BCHW: Tensor) -> Tensor:
    return functional.conv2d(
        gradient_BCHW, layer.weight, stride=layer.stride, padding=_pair(layer.padding), groups=layer.groups
    )


@layer_pseudo_gradient.register
def _(layer: nn.MaxPool2d, gradient_BCHW: Tensor) -> Tensor:
    side = int(layer.kernel_size)  # pyright: ignore[reportArgumentType] - our pools are square
    return functional.interpolate(gradient_BCHW, scale_factor=side, mode="nearest") / (side * side)


@layer_pseudo_gradient.register
def _(layer: nn.Dropout, gradient_BCHW: Tensor) -> Tensor:  # noqa: ARG001 - dropout is ignored (section 3.2)
    return gradient_BCHW


def _pair(padding: str | tuple[int, ...]) -> tuple[int, int]:
    if isinstance(padding, str):
        raise TypeError("named paddings are not used in these nets")
    return padding[0], padding[1]
