"""The LeNet-5 variant of layer transfer (Gutstein, Fuentes, Freudenthal 2007, figure 1 and table 1).

LeCun et al. 1998 with one change: the last layer is F6 and the output layer in one, so the net answers with a
point in the space of target vectors. Convolutions are 5x5; subsampling layers multiply the sum of each 2x2
tile by one trainable factor a map and add one trainable bias; C3 is connected to S2 by LeCun's table. Every
layer ends in LeCun's squashing A tanh(2a/3), A = 1.7159.

Shape suffixes: B samples, C maps, H and W pixels, K kernels.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGE_PX = 32
LAYERS = ("C1", "S2", "C3", "S4", "C5", "F6")
USUALLY_RETAINED = 4  # C1 to S4, which see parts of an image; C5 and F6 see all of it
TARGET_BITS = 20
_C3_FROM_S2 = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5),
)  # fmt: skip
"""Which maps of S2 each of C3's 16 maps sees (LeCun et al. 1998, table I): 60 kernels."""


def squash(a: Tensor) -> Tensor:
    """Return 1.7159 tanh(2a/3): +1 and -1 are where it bends most, so they are good targets."""
    return 1.7159 * torch.tanh(a * (2 / 3))


def tile_sums(maps_BCHW: Tensor) -> Tensor:
    """Return the sum of each 2x2 tile: (B, C, H / 2, W / 2).

    Two rows at a time are multiplied by a matrix of zeros and ones: on a processor, with gradients, a
    pooling layer takes several times as long for maps as small as these.
    """
    rows, columns = maps_BCHW.shape[-2:]
    own = torch.eye(columns // 2, dtype=maps_BCHW.dtype, device=maps_BCHW.device).repeat_interleave(2, dim=0)
    return maps_BCHW.reshape(*maps_BCHW.shape[:-2], rows // 2, 2 * columns) @ own.repeat(2, 1)


class Convolution(nn.Module):
    """A 5x5 C-layer, fully connected to the maps below: 25 * C_in + 1 parameters a map."""

    def __init__(self, maps_in: int, maps_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(maps_in, maps_out, 5)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Return maps that are 4 pixels smaller."""
        kernels = self.convolution.weight
        if maps_BCHW.shape[-2:] != kernels.shape[-2:]:
            return squash(self.convolution(maps_BCHW))
        # C5 sees its maps whole: one matrix product, several times as fast on a processor as a convolution.
        seen = functional.linear(maps_BCHW.flatten(1), kernels.flatten(1), self.convolution.bias)
        return squash(seen[..., None, None])


class SparseConvolution(nn.Module):
    """C3: 16 maps of 60 kernels; a connection that the table lacks has no parameter."""

    rows_K: Tensor
    columns_K: Tensor

    def __init__(self) -> None:
        super().__init__()
        pairs = [(row, column) for row, seen in enumerate(_C3_FROM_S2) for column in seen]
        self.kernels_K55 = nn.Parameter(torch.empty(len(pairs), 5, 5))
        self.bias = nn.Parameter(torch.zeros(len(_C3_FROM_S2)))
        self.register_buffer("rows_K", torch.tensor([row for row, _ in pairs]), persistent=False)
        self.register_buffer("columns_K", torch.tensor([column for _, column in pairs]), persistent=False)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Return 16 maps, 4 pixels smaller, of 6."""
        dense = self.kernels_K55.new_zeros(len(_C3_FROM_S2), 6, 5, 5)
        dense = dense.index_put((self.rows_K, self.columns_K), self.kernels_K55)
        return squash(functional.conv2d(maps_BCHW, dense, self.bias))


class Subsampling(nn.Module):
    """An S-layer: (factor * the sum of each 2x2 tile + bias), squashed; 2 parameters a map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.empty(maps))
        self.bias = nn.Parameter(torch.zeros(maps))

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Return maps of half the side, which must be even."""
        sums = tile_sums(maps_BCHW)
        return squash(sums * self.factor.view(-1, 1, 1) + self.bias.view(-1, 1, 1))


class TargetLayer(nn.Module):
    """F6 of this variant: 120 units to the bits of a target vector."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.linear = nn.Linear(120, bits)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Return (B, bits) of (B, 120, 1, 1)."""
        return squash(self.linear(maps_BCHW.flatten(1)))


def lenet(generator: torch.Generator, bits: int = TARGET_BITS) -> nn.Sequential:
    """Return C1, S2, C3, S4, C5, F6 for images (B, 1, 32, 32) of -1 (ground) to 1 (ink), initialised.

    Weights are uniform in +-2.4 / fan-in (LeCun et al. 1998); a subsampling starts as the mean of its tile.

    Args:
        generator: of the weights.
        bits: of a target vector.
    """
    layers: list[nn.Module] = [
        Convolution(1, 6), Subsampling(6), SparseConvolution(), Subsampling(16), Convolution(16, 120),
        TargetLayer(bits),
    ]  # fmt: skip
    for layer in layers:
        _initialise(layer, generator)
    return nn.Sequential(OrderedDict(zip(LAYERS, layers, strict=True)))


@torch.no_grad()
def _initialise(layer: nn.Module, generator: torch.Generator) -> None:
    for part in layer.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            bound = 2.4 / part.weight[0].numel()
            part.weight.uniform_(-bound, bound, generator=generator)
            if part.bias is not None:
                part.bias.zero_()
        elif isinstance(part, SparseConvolution):
            for kernel, row in zip(part.kernels_K55, part.rows_K.tolist(), strict=True):
                bound = 2.4 / (25 * len(_C3_FROM_S2[row]))
                kernel.uniform_(-bound, bound, generator=generator)
        elif isinstance(part, Subsampling):
            part.factor.fill_(0.25)


def target_vectors(classes: int, generator: torch.Generator, bits: int = TARGET_BITS) -> Tensor:
    """Return one random vector of +-1 a class, no two alike: float32 (classes, bits)."""
    while True:
        vectors = 2.0 * torch.randint(2, (classes, bits), generator=generator) - 1.0
        if len(torch.unique(vectors, dim=0)) == classes:
            return vectors


def nearest_vector(answers_BK: Tensor, vectors_CK: Tensor) -> Tensor:
    """Return the class whose target vector is nearest to each answer: int64 (B,)."""
    return torch.cdist(answers_BK, vectors_CK.to(answers_BK)).argmin(1)
