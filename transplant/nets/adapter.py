"""The adapter h: reorder, rescale, then n convolutions with ReLU (arXiv 1901.06978, figure 4c)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from transplant.nets.placement import to_device

if TYPE_CHECKING:
    from collections.abc import Sequence


class Adapter(nn.Module):
    """h(x) = ReLU(conv_n(... ReLU(conv_1(beta * x[reorder])))).

    Args:
        channels_in: M of the category module.
        channels_out: M of the host task module's seam.
        layers: n, the number of convolutions.
        kernel: k, odd; padded so that the map keeps its size.
        reorder: a permutation of the input channels (the paper's mimicry of nets trained apart), or
            None for the identity.
    """

    reorder: Tensor | None
    beta: Tensor

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        layers: int,
        kernel: int,
        reorder: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        order = None if reorder is None else torch.tensor(list(reorder), dtype=torch.int64)
        self.register_buffer("reorder", order, persistent=False)  # lives in the architecture
        self.register_buffer("beta", torch.ones(1))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels_in if index == 0 else channels_out, channels_out, kernel, padding=kernel // 2)
            for index in range(layers)
        )
        self.start_transparent()

    @property
    def chain(self) -> list[nn.Conv2d]:
        """The convolutions, first to last."""
        return [cast("nn.Conv2d", convolution) for convolution in self.convolutions]

    @property
    def kernel(self) -> int:
        """The side k of every convolution."""
        return self.chain[0].weight.shape[-1]

    @torch.no_grad()
    def start_transparent(self) -> None:
        """Set every convolution to the centre-tap identity with zero bias.

        Features behind a ReLU are not negative, and ReLU is idempotent: layers that are centre-tap
        identities hand them through bit for bit, so depth costs nothing at the start.
        """
        for convolution in self.chain:
            nn.init.dirac_(convolution.weight)
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)

    @torch.no_grad()
    def start_near_transparent(self, keep: float, noise: float, generator: torch.Generator) -> None:
        """Set every weight to `keep` times the identity plus `noise` times a He-scaled normal draw.

        An exactly transparent layer has equal taps around the centre; noise tells them apart.
        """
        self.start_transparent()
        for convolution in self.chain:
            weight = convolution.weight
            spread = (2 / weight[0].numel()) ** 0.5
            drawn = torch.randn(tuple(weight.shape), generator=generator) * spread
            weight.mul_(keep).add_(to_device(noise * drawn, weight.device))

    @torch.no_grad()
    def start_from_first_layer(self, weight_OIkk: Tensor) -> None:
        """Put `weight_OIkk` into the first convolution and keep all deeper ones transparent."""
        self.start_transparent()
        self.chain[0].weight.copy_(weight_OIkk)

    def set_beta(self, beta: float) -> None:
        """Set the rescale factor beta = E||f_S(I)||_F / E||f(I)||_F."""
        self.beta.fill_(beta)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Map features of the category module (B, C_in, H, W) to the host's seam (B, C_out, H, W)."""
        x = features_BCHW if self.reorder is None else features_BCHW[:, self.reorder]
        x = x * self.beta
        for convolution in self.chain:
            x = torch.relu(convolution(x))
        return x
