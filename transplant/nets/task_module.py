"""Task modules g: the upper layers that solve one task on the seam's feature map.

Both kinds are plain chains of convolutions, ReLUs, pools and transposed convolutions, because
back-distillation (`transplant.backdistill.pseudo_gradient`) runs them backwards layer by layer. Fully
connected layers are convolutions, so that an S x S output gradient gives an enlarged D'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class TaskModule(nn.Module):
    """What both kinds share: y = g(x) for a feature map x of the seam."""


class ClassificationModule(TaskModule):
    """A chain that ends in one logit: is the category in the picture?"""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return logits (B, 1)."""
        return self.layers(features_BCHW).flatten(1)


class SegmentationModule(TaskModule):
    """A fully convolutional branch with skips (Long et al. 2015): one logit per pixel.

    The maps are m_0 = x (the seam), m_1 = stage_1(m_0), ...; the coarsest goes through `head`, is
    upsampled, and meets the 1x1 scores of finer maps on its way to full size.

    Args:
        stages: the trunk above the seam; each ends in a pool.
        head: from the coarsest map to its score.
        skips: indices of the maps that are scored, coarsest first.
        scores: one 1x1 convolution a skip.
        upsamplings: one transposed convolution a skip (to that skip's size), then the final one.
    """

    def __init__(
        self,
        stages: Sequence[nn.Sequential],
        head: nn.Sequential,
        skips: Sequence[int],
        scores: Sequence[nn.Conv2d],
        upsamplings: Sequence[nn.ConvTranspose2d],
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.head = head
        self.skips = tuple(skips)
        self.scores = nn.ModuleList(scores)
        self.upsamplings = nn.ModuleList(upsamplings)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Return logits (B, 1, 2H, 2W): the size of the image whose seam is H x W."""
        return self.decide(*self.look(features_BCHW))

    def look(
        self,
        features_BCHW: Tensor,
        through: Callable[[nn.Sequential, Tensor], Tensor] = nn.Module.__call__,
    ) -> tuple[Tensor, ...]:
        """Return what the decision needs of x: the coarsest map, and the score of each skip.

        Args:
            features_BCHW: x.
            through: how a stage is run.
        """
        maps = [features_BCHW]
        for stage in self.stages:
            maps.append(through(cast("nn.Sequential", stage), maps[-1]))
        scores = zip(self.skips, self.scores, strict=True)
        return maps[-1], *(scored(maps[skip]) for skip, scored in scores)

    def decide(self, coarsest: Tensor, *scores: Tensor) -> Tensor:
        """Return the logits from what `look` found."""
        score = self.head(coarsest)
        for finer, upsampling in zip(scores, self.upsamplings, strict=False):
            score = upsampling(score) + finer
        return self.upsamplings[-1](score)


def convolution_stage(channels_in: int, channels_out: int, convolutions: int) -> nn.Sequential:
    """Return `convolutions` 3x3 convolutions with ReLU and a 2x2 max-pool: one VGG stage."""
    layers: list[nn.Module] = []
    for index in range(convolutions):
        layers += [
            nn.Conv2d(channels_in if index == 0 else channels_out, channels_out, 3, padding=1),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.MaxPool2d(2))


def bilinear_upsampling(factor: int) -> nn.ConvTranspose2d:
    """Return a learnable one-channel upsampling that starts as bilinear interpolation (FCN's start)."""
    kernel = 2 * factor
    layer = nn.ConvTranspose2d(1, 1, kernel, stride=factor, padding=factor // 2, bias=False)
    # On the meta device, where layouts are worked out, `arange` would import torch's compiler: seconds.
    position = torch.arange(kernel, dtype=torch.float32, device="cpu")
    ramp = 1 - (position - (kernel - 1) / 2).abs() / factor
    with torch.no_grad():
        layer.weight.copy_(torch.outer(ramp, ramp).view(1, 1, kernel, kernel))
    return layer


def initialise(net: nn.Module, generator: torch.Generator) -> None:
    """He-initialise every convolution (these VGGs have no BatchNorm); upsamplings stay bilinear."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
