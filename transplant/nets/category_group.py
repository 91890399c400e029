"""Category modules and adapters of one form, computed together: x -> h_i(f_i(I)) for i in a range.

All of them see the same images. So the first convolution of every f is one convolution with G times as many
output channels, and each later one a grouped convolution with G groups: what `torch.vmap` over stacked
weights comes to, without its reshuffling between layers (measured on one core: 1.6 times its speed at one
image, 1.9 times at 64). The reorder and the rescale of h are taken into its first weights: h's first
convolution of beta * x[reorder] is a convolution of x whose weights are scaled and whose input channels are
permuted back.

One image leaves a convolution so little to do that its fixed cost counts: there grouping wins. From
`GROUPED_IMAGES` on a convolution of one category alone keeps a core busy, and the reshuffling of grouped
maps is all that grouping adds: there the categories take turns.

Shape suffixes: G categories, B images, C channels, H and W places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from transplant.nets.adapter import Adapter
from transplant.nets.category_module import CategoryModule
from transplant.nets.lean_chain import halved, run_chain
from transplant.nets.placement import CPU, to_device

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

GROUPED_IMAGES = 8
"""From so many images on the categories take turns."""


def form_of(category_module: nn.Module, adapter: nn.Module) -> Hashable:
    """Return what two pairs (f, h) must have in common to be computed together.

    A pair of a kind that is not known here has a form of its own, and is computed alone.
    """
    if not isinstance(category_module, CategoryModule) or not isinstance(adapter, Adapter | nn.Identity):
        return id(category_module), id(adapter)
    normalize = category_module.normalize
    scale = [tuple(to_device(part, CPU).flatten().tolist()) for part in (normalize.mean, normalize.std)]
    shapes = tuple((name, tuple(weight.shape)) for name, weight in _weights(category_module, adapter))
    return type(adapter), *scale, shapes


def _weights(category_module: nn.Module, adapter: nn.Module) -> list[tuple[str, Tensor]]:
    return [*category_module.named_parameters(prefix="f"), *adapter.named_parameters(prefix="h")]


class CategoryGroup:
    """Pairs (f, h) of one form.

    Args:
        parts: the pairs; h is an identity where there is no adapter.
    """

    def __init__(self, parts: Sequence[tuple[nn.Module, nn.Module]]) -> None:
        self._parts = tuple(parts)
        self._lower: list[_Grouped] = []
        self._upper: list[_Grouped] = []

    def __len__(self) -> int:
        return len(self._parts)

    def features(self, images_BCHW: Tensor, first: int, last: int) -> Tensor:
        """Return x_i = f_i(I) for i in [first, last), category by category, (G B, C, H/2, W/2)."""
        if not self._together(images_BCHW, first, last):
            return _joined([_features(f, images_BCHW) for f, _ in self._parts[first:last]])
        return _by_category(self._grouped_features(images_BCHW, first, last), last - first)

    def adapted(self, images_BCHW: Tensor, first: int, last: int) -> Tensor:
        """Return h_i(f_i(I)) for i in [first, last), category by category, (G B, C, H/2, W/2)."""
        if not self._together(images_BCHW, first, last):
            maps = (_features(f, images_BCHW) for f, _ in self._parts[first:last])
            return _joined([self.adapt(each, place) for place, each in enumerate(maps, start=first)])
        maps = self._grouped_features(images_BCHW, first, last)
        for convolution in self._upper:
            maps = convolution.run(maps, first, last).relu_()
        return _by_category(maps, last - first)

    def adapt(self, features_BCHW: Tensor, index: int) -> Tensor:
        """Return h_i(x) for features of one category."""
        h = self._parts[index][1]
        if not isinstance(h, Adapter):
            return h(features_BCHW)
        x = features_BCHW if h.reorder is None else features_BCHW[:, h.reorder]
        x = x * h.beta
        for convolution in h.chain:
            x = convolution(x).relu_()
        return x

    def _together(self, images_BCHW: Tensor, first: int, last: int) -> bool:
        return last - first > 1 and len(images_BCHW) < GROUPED_IMAGES

    def _grouped_features(self, images_BCHW: Tensor, first: int, last: int) -> Tensor:
        """Return the maps of all f side by side, (B, G C, H/2, W/2)."""
        if not self._lower:
            self._stack()
        maps = cast("CategoryModule", self._parts[0][0]).normalize(images_BCHW)
        maps = self._lower[0].run(maps, first, last).relu_()
        return halved(self._lower[1].run(maps, first, last)).relu_()

    def _stack(self) -> None:
        """Put the weights side by side, once; only nets of small images ever need it."""
        layers = [cast("CategoryModule", f).layers for f, _ in self._parts]
        adapters = [h for _, h in self._parts if isinstance(h, Adapter)]
        depth = len(adapters[0].chain) if adapters else 0
        upper = [_Grouped.of([h.chain[place] for h in adapters]) for place in range(depth)]
        if adapters:
            upper[0].weight_OIkk = torch.cat([_told_weight(h) for h in adapters])
        self._upper = upper
        self._lower = [  # last: another thread that finds it finds the upper ones, too
            _Grouped.of([cast("nn.Conv2d", chain[place]) for chain in layers], shared_input=place == 0)
            for place in (0, 2)
        ]


class _Grouped:
    """One convolution of every category."""

    def __init__(
        self, weight_OIkk: Tensor, bias_O: Tensor, channels: int, padding: int, shared_input: bool
    ) -> None:
        self.weight_OIkk = weight_OIkk
        self.bias_O = bias_O
        self.channels = channels
        self.padding = padding
        self.shared_input = shared_input

    @classmethod
    def of(cls, convolutions: Sequence[nn.Conv2d], *, shared_input: bool = False) -> _Grouped:
        """Stack the weights of convolutions of one shape."""
        first = convolutions[0]
        biases = [cast("Tensor", convolution.bias) for convolution in convolutions]
        weights = torch.cat([convolution.weight for convolution in convolutions])
        padding = first.weight.shape[-1] // 2
        return cls(weights, torch.cat(biases), first.out_channels, padding, shared_input)

    def run(self, maps: Tensor, first: int, last: int) -> Tensor:
        """Convolve for the categories [first, last); their input channels stand side by side."""
        rows = slice(first * self.channels, last * self.channels)
        groups = 1 if self.shared_input else last - first
        weight, bias = self.weight_OIkk[rows], self.bias_O[rows]
        return functional.conv2d(maps, weight, bias, padding=self.padding, groups=groups)


def _told_weight(adapter: Adapter) -> Tensor:
    """Return the first weights of h with reorder and beta in them."""
    weight = adapter.chain[0].weight * adapter.beta
    if adapter.reorder is None:
        return weight
    # x[:, reorder] puts channel reorder[i] at place i: the weights of place i belong to channel reorder[i].
    return torch.empty_like(weight).index_copy_(1, adapter.reorder, weight)


def _by_category(maps: Tensor, categories: int) -> Tensor:
    """Turn (B, G C, H, W) into (G B, C, H, W), channels last in memory: one copy."""
    count, _, height, width = maps.shape
    apart = maps.permute(0, 2, 3, 1).reshape(count, height, width, categories, -1)
    return apart.permute(3, 0, 1, 2, 4).flatten(0, 1).permute(0, 3, 1, 2)


def _features(category_module: nn.Module, images_BCHW: Tensor) -> Tensor:
    if not isinstance(category_module, CategoryModule):
        return category_module(images_BCHW)
    return run_chain(category_module.layers, category_module.normalize(images_BCHW))


def _joined(maps: list[Tensor]) -> Tensor:
    return maps[0] if len(maps) == 1 else torch.cat(maps)
