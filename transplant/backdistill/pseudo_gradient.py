"""The pseudo-gradient D': a task module run backwards as a chain of *forward* operations.

arXiv 1901.06978, equation 4b:  D' = f'_conv o f'_dummy o f'_avgpool o ... o f'_conv (G).

- convolution -> transposed convolution with the same weights (and the other way round),
- max-pool -> the derivative of average pooling of the same size,
- dropout -> nothing,
- ReLU -> a dummy: `first` hands G through; `second` multiplies by 1(x_rand > 0).

Nothing here depends on feature maps, so D' of an adapter is a plain forward function of its weights and
one ordinary backward pass trains it ('back-back-propagation'); and D' of a task module needs no graph and no
stored activations.

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
from transplant.nets.placement import to_device
from transplant.nets.task_module import ClassificationModule, SegmentationModule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transplant.nets.adapter import Adapter


_LOWEST_BITS = 0x0101010101010101
"""The lowest bit of each byte of a word."""


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
        mask = self.mask_at(position, gradient_BCHW.shape)
        if mask.shape[-2:] != gradient_BCHW.shape[-2:] or mask.shape[1] not in (1, gradient_BCHW.shape[1]):
            raise SeamMismatch(
                f"the second dummy needs task modules of equal layer geometry; at {position} one has "
                f"{tuple(mask.shape[1:])} and the other {tuple(gradient_BCHW.shape[1:])}: use the first dummy"
            )
        return gradient_BCHW * to_device(mask, gradient_BCHW.device)

    def mask_at(self, position: str, shape_BCHW: torch.Size) -> Tensor:
        """Return the mask of the ReLU at `position`, bytes of 0 and 1, drawn for this shape at first use."""
        if position in self._masks:
            return self._masks[position]
        batch, channels, height, width = shape_BCHW
        if self.rule is DummyRule.LOWEST_SECOND:  # x' is s1 x s2 x 1, copied over the channels
            channels = 1
        share = self._positive_share
        if share is None:
            share = 0.2 if self.rule is DummyRule.LOWEST_SECOND else 0.5
        drawn = random_mask(batch * height * width * channels, share, self._generator)
        # Channels last in memory, as convolutions hand their maps on, whatever the layout of this one: a mask
        # is a function of the generator alone.
        self._masks[position] = drawn.view(batch, height, width, channels).permute(0, 3, 1, 2)
        return self._masks[position]


def random_mask(count: int, share: float, generator: torch.Generator) -> Tensor:
    """Return `count` bytes, 0 or 1, of which `share` are 1 on average, to 1/65536.

    Words of 64 bits are drawn and cut into bits (a share of one half) or into 16 bits each: a uniform number
    for every element would cost as much as the convolutions of a small net.
    """
    bits_each = 1 if share == 0.5 else 16
    words = torch.empty(-(-count * bits_each // 64), dtype=torch.int64)
    words.random_(-(2**63), None, generator=generator)
    if bits_each == 16:
        return (words.view(torch.int16)[:count] < round(share * 2**16) - 2**15).view(torch.uint8)
    octets = (words >> torch.arange(8).unsqueeze(1)).bitwise_and_(_LOWEST_BITS)  # each bit once, as a byte
    return octets.view(torch.uint8).flatten()[:count]


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
    if gradient_BCHW.shape[-2:] == (1, 1) and _is_fully_connected(layer):
        return _fully_connected(layer.weight, gradient_BCHW)
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
    return functional.interpolate(gradient_BCHW / (side * side), scale_factor=side, mode="nearest")


@layer_pseudo_gradient.register
def _(layer: nn.Dropout, gradient_BCHW: Tensor) -> Tensor:  # noqa: ARG001 - dropout is ignored (section 3.2)
    return gradient_BCHW


def _is_fully_connected(layer: nn.Conv2d) -> bool:
    return layer.groups == 1 and _pair(layer.padding) == (0, 0) and layer.dilation == (1, 1)


def _fully_connected(weight_OIkk: Tensor, gradient_BO11: Tensor) -> Tensor:
    """Return G W, (B, I, k, k): a product of matrices on the weights as they lie.

    A transposed convolution would first copy them into another layout: 411 MB for VGG-16's fc6.
    """
    _, channels, height, width = weight_OIkk.shape
    if weight_OIkk.is_contiguous():
        return (gradient_BO11.flatten(1) @ weight_OIkk.flatten(1)).view(-1, channels, height, width)
    product = gradient_BO11.flatten(1) @ weight_OIkk.permute(0, 2, 3, 1).flatten(1)
    return product.view(-1, height, width, channels).permute(0, 3, 1, 2)


def _pair(padding: str | tuple[int, ...]) -> tuple[int, int]:
    if isinstance(padding, str):
        raise TypeError("named paddings are not used in these nets")
    return padding[0], padding[1]
