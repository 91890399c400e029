"""VGG-9 with batch norm: the target net of Jang et al. 2019 for 32 px images.

The convolutions of torchvision's VGG-11 (eight, in five stages of 64, 128, 256, 512 and 512 channels) under
one linear layer. Transfer looks at what goes into its five max-pools.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from transplant.nets.torchvision_ops import ensure_torchvision_ops
from transplant.transfer.resnet import he_initialise
from transplant.transfer.tapped_net import TappedNet, pool_inputs

if TYPE_CHECKING:
    import torch


class Vgg9(nn.Module):
    """Eight 3x3 convolutions with batch norm, five max-pools, one linear layer.

    Args:
        classes: of the last layer.
        width: channels of the first stage (64 in the paper).
    """

    def __init__(self, classes: int, width: int = 64) -> None:
        super().__init__()
        ensure_torchvision_ops()
        from torchvision.models.vgg import make_layers  # pyright: ignore[reportMissingTypeStubs]

        wide = (1, "M", 2, "M", 4, 4, "M", 8, 8, "M", 8, 8, "M")
        plan: list[str | int] = [each if isinstance(each, str) else each * width for each in wide]
        self.features = make_layers(plan, batch_norm=True)
        self.classifier = nn.Linear(8 * width, classes)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return logits (B, classes) of images of 32 px."""
        return self.classifier(self.features(images_BCHW).flatten(1))


def vgg9_bn(classes: int, generator: torch.Generator, width: int = 64) -> TappedNet:
    """Return VGG-9-bn, He-initialised and tapped at its five max-pool inputs."""
    net = Vgg9(classes, width)
    he_initialise(net, generator)
    return TappedNet(net, pool_inputs(net))
