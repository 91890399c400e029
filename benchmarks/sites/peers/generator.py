"""A generator of pictures from noise: the small one that data-free distillation uses.

It is the one of DENSE (arXiv 2112.12371) and Co-Boosting (arXiv 2402.15070), which have it from earlier work
on data-free distillation: a fully connected layer to a map of a quarter of the side, twice a nearest
upsampling with a 3x3 convolution, batch normalisation and leaky ReLU, and a convolution to three colours
through a sigmoid.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

_SLOPE = 0.2
_DEVIATION = 0.02


class Generator(nn.Module):
    """Noise (B, latent) to images (B, 3, side, side) in [0, 1].

    Args:
        latent: numbers of noise.
        channels: of the last hidden map; the others have twice as many.
        image_px: side of the images, a multiple of 4.
    """

    def __init__(self, latent: int, channels: int, image_px: int) -> None:
        super().__init__()
        self.side = image_px // 4
        self.project = nn.Linear(latent, 2 * channels * self.side**2)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(2 * channels),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.LeakyReLU(_SLOPE),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(channels, 3, 3, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, noise_BL: Tensor) -> Tensor:
        """Return images."""
        projected = self.project(noise_BL)
        return self.layers(projected.unflatten(1, (-1, self.side, self.side)))

    @torch.no_grad()
    def start_anew(self, generator: torch.Generator) -> None:
        """Draw all weights from N(0, 0.02), those of normalisation from N(1, 0.02); biases are 0."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.BatchNorm2d):
                mean = 1.0 if isinstance(layer, nn.BatchNorm2d) else 0.0
                layer.weight.normal_(mean, _DEVIATION, generator=generator)
                bias = cast("Tensor | None", layer.bias)
                if bias is not None:
                    bias.zero_()
            if isinstance(layer, nn.BatchNorm2d):
                layer.reset_running_stats()
