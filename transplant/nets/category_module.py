"""The category module f: the lower layers that know one category, x = f(I)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """Fixed per-channel standardisation, so that a site and the center cannot disagree about it."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, float, float], std: tuple[float, float, float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Map images in [0, 1] to zero mean and unit deviation."""
        return (images_BCHW - self.mean) / self.std


class CategoryModule(nn.Module):
    """conv, ReLU, conv, ReLU, max-pool: the first five layers of VGG (arXiv 1901.06978, section 4).

    Args:
        normalize: the architecture's input standardisation.
        channels: M, the channels of the seam (64 in VGG-16, 32 in vgg_small).
    """

    def __init__(self, normalize: Normalize, channels: int) -> None:
        super().__init__()
        self.normalize = normalize
        self.layers = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return x = f(I), shape (B, M, H/2, W/2), for float32 images (B, 3, H, W) in [0, 1]."""
        return self.layers(self.normalize(images_BCHW))
