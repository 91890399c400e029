"""Residual nets as sources and targets of transfer (He, Zhang, Ren, Sun 2016).

ResNet-20 and -32 for small images are the paper's own (section 4.2: three groups of 16, 32 and 64 channels,
shortcuts without parameters), which torchvision lacks; ResNet-18 and -34 for large ones are torchvision's.
Transfer looks at the ends of the groups: blocks 4, 9 and 14 of ResNet-32.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from transplant.nets.torchvision_ops import ensure_torchvision_ops
from transplant.transfer.tapped_net import Tap, TappedNet

_GROUPS_OF_LARGE = tuple(Tap(f"layer{number}") for number in (1, 2, 3, 4))


class Block(nn.Module):
    """Two 3x3 convolutions with a shortcut; where it halves the map, the shortcut is strided and padded."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.padding = channels - channels_in

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the block's features."""
        y = functional.relu(self.bn1(self.conv1(x_BCHW)))
        y = self.bn2(self.conv2(y))
        shortcut = x_BCHW
        if self.stride != 1 or self.padding:
            before = self.padding // 2
            strided = x_BCHW[:, :, :: self.stride, :: self.stride]
            shortcut = functional.pad(strided, (0, 0, 0, 0, before, self.padding - before))
        return functional.relu(y + shortcut)


class SmallResNet(nn.Module):
    """6n + 2 layers for images of about 32 px.

    Args:
        depth: 20, 32, ...
        classes: of the last layer.
        width: channels of the first group.

    Raises:
        ValueError: if no n fits the depth.
    """

    def __init__(self, depth: int, classes: int, width: int = 16) -> None:
        super().__init__()
        blocks, left = divmod(depth - 2, 6)
        if left or blocks < 1:
            raise ValueError(f"a small ResNet has 6n + 2 layers; got {depth}")
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        groups: list[nn.Module] = []
        channels = width
        for group in range(3):
            wide = width * 2**group
            groups.append(
                nn.Sequential(
                    Block(channels, wide, 1 if group == 0 else 2),
                    *(Block(wide, wide, 1) for _ in range(blocks - 1)),
                )
            )
            channels = wide
        self.groups = nn.ModuleList(groups)
        self.fc = nn.Linear(channels, classes)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        x = functional.relu(self.bn1(self.conv1(images_BCHW)))
        for group in self.groups:
            x = group(x)
        return self.fc(x.mean(dim=(2, 3)))


def small_resnet(depth: int, classes: int, generator: torch.Generator, width: int = 16) -> TappedNet:
    """Return ResNet-20, -32, ..., He-initialised and tapped at the ends of its three groups."""
    net = SmallResNet(depth, classes, width)
    he_initialise(net, generator)
    return TappedNet(net, [Tap(f"groups.{group}") for group in range(3)])


def large_resnet(depth: Literal[18, 34], classes: int, generator: torch.Generator) -> TappedNet:
    """Return torchvision's ResNet-18 or -34 without its weights, tapped at the ends of its four groups."""
    ensure_torchvision_ops()
    from torchvision.models import resnet18, resnet34  # pyright: ignore[reportMissingTypeStubs]

    net = {18: resnet18, 34: resnet34}[depth](weights=None, num_classes=classes)
    he_initialise(net, generator)
    return tapped_large_resnet(net)


def tapped_large_resnet(net: nn.Module) -> TappedNet:
    """Return one of torchvision's ResNets tapped at the ends of its groups."""
    return TappedNet(net, _GROUPS_OF_LARGE)


def he_initialise(net: nn.Module, generator: torch.Generator) -> None:
    """Initialise convolutions as He et al. 2015 (fan-out), batch norms as identities, linear layers small."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, 0.01, generator=generator)
            nn.init.zeros_(layer.bias)
