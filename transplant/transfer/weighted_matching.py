"""What and where to transfer: weighted feature matching (Jang, Lee, Hwang, Shin 2019, equations 1 to 3).

For each pair (m, n) of a source's and the target's feature maps,

    L^{m,n} = (1/HW) sum_c w_c^{m,n} sum_ij (r(T^n(x)) - S^m(x))^2,      sum_c w_c = 1,
    L_wfm  = sum_{(m,n)} lambda^{m,n} L^{m,n},

r a 1x1 convolution with bias from the target's channels to the source's, source maps resized bilinearly to
the target's size. The meta nets say from the pooled source map what is worth matching,
w = softmax(Linear(pool(S^m))), and where, lambda = ReLU6(Linear(pool(S^m))). Both start as if they were not
there: w uniform, lambda 1. So L_wfm of a sample is linear in its *coefficients* lambda w, and everything that
the meta nets can change about a step goes through these.

Shape suffixes: B samples, C channels of the source's map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from transplant.errors import TransferNotPossible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Pair = tuple[int, int]
"""Which of the sources' feature maps (all sources' in one row), and which of the target's."""
Shape = tuple[int, int, int]
"""(C, H, W) of a feature map."""


@dataclass(frozen=True)
class MatchingScheme:
    """Which maps are matched, and what is learned about them.

    Args:
        pairs: C, the candidates.
        channel_weights: learn w (else uniform): what.
        pair_weights: learn lambda (else 1): where.
    """

    pairs: tuple[Pair, ...]
    channel_weights: bool = False
    pair_weights: bool = False


def single_pairs(sources: Sequence[Sequence[Shape]], target: Sequence[Shape]) -> tuple[Pair, ...]:
    """Match each source's last map with the target's last (figure 3a)."""
    ends, seen = [], 0
    for shapes in sources:
        seen += len(shapes)
        ends.append(seen - 1)
    return tuple((end, len(target) - 1) for end in ends)


def one_to_one_pairs(sources: Sequence[Sequence[Shape]], target: Sequence[Shape]) -> tuple[Pair, ...]:
    """Match maps of the same height and width, the highest of each net where it has several (figure 3b).

    Raises:
        TransferNotPossible: if no two maps have the same size.
    """
    mine = {shape[1:]: place for place, shape in enumerate(target)}
    pairs: list[Pair] = []
    seen = 0
    for shapes in sources:
        theirs = {shape[1:]: seen + place for place, shape in enumerate(shapes)}
        pairs += [(place, mine[size]) for size, place in theirs.items() if size in mine]
        seen += len(shapes)
    if not pairs:
        raise TransferNotPossible("no map of a source has the size of a map of the target: match all to all")
    return tuple(pairs)


def all_to_all_pairs(sources: Sequence[Sequence[Shape]], target: Sequence[Shape]) -> tuple[Pair, ...]:
    """Match every map of every source with every map of the target (figure 3c)."""
    count = sum(len(shapes) for shapes in sources)
    return tuple((m, n) for m in range(count) for n in range(len(target)))


class Projections(nn.Module):
    """r_theta: a 1x1 convolution with bias a pair, from the target's channels to the source's.

    Pairs with the same map of the target share one convolution whose outputs stand side by side: the same
    function in a fifth of the calls.

    Args:
        pairs: which maps are matched.
        source: shapes of the sources' maps, in one row.
        target: shapes of the target's maps.
        generator: of the weights.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        source: Sequence[Shape],
        target: Sequence[Shape],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.pairs = tuple(pairs)
        self._sizes = {n: target[n][1:] for n in dict.fromkeys(n for _, n in pairs)}
        self._channels = [source[m][0] for m, _ in pairs]
        self.convolutions = nn.ModuleDict()
        for n in self._sizes:
            outputs = sum(source[m][0] for m, own in pairs if own == n)
            layer = nn.Conv2d(target[n][0], outputs, 1)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear", generator=generator)
            nn.init.zeros_(layer.bias if layer.bias is not None else torch.empty(0))
            self.convolutions[str(n)] = layer

    def wanted(self, source: Sequence[Tensor]) -> dict[int, Tensor]:
        """Return what each of the target's maps is to become: the sources' maps at its size, side by side."""
        return {
            n: torch.cat([_resized(source[m], size) for m, own in self.pairs if own == n], dim=1)
            for n, size in self._sizes.items()
        }

    def forward(self, wanted: Mapping[int, Tensor], target: Sequence[Tensor]) -> list[Tensor]:
        """Return, for each pair, the mean over positions of (r(T^n) - S^m)^2: (B, C)."""
        parts: dict[int, Iterator[Tensor]] = {}
        for n in self._sizes:
            error = (self.convolutions[str(n)](target[n]) - wanted[n]).square().mean(dim=(2, 3))
            widths = [c for c, (_, own) in zip(self._channels, self.pairs, strict=True) if own == n]
            parts[n] = iter(error.split(widths, dim=1))
        return [next(parts[n]) for _, n in self.pairs]


def _resized(features_BCHW: Tensor, size: tuple[int, ...]) -> Tensor:
    if tuple(features_BCHW.shape[2:]) == size:
        return features_BCHW
    return functional.interpolate(features_BCHW, size=size, mode="bilinear", align_corners=False)


class MetaNets(nn.Module):
    """f_phi and g_phi: one linear layer a pair each, from the pooled source map to w and to lambda.

    Args:
        scheme: which of them are learned.
        source: the shapes of the sources' maps.
    """

    def __init__(self, scheme: MatchingScheme, source: Sequence[Shape]) -> None:
        super().__init__()
        self.scheme = scheme
        channels = [source[m][0] for m, _ in scheme.pairs]
        self.what = nn.ModuleList(nn.Linear(c, c) for c in (channels if scheme.channel_weights else ()))
        self.where = nn.ModuleList(nn.Linear(c, 1) for c in (channels if scheme.pair_weights else ()))
        for layer in (*self.what, *self.where):
            nn.init.zeros_(layer.weight)  # pyright: ignore[reportArgumentType]
            nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
        for layer in self.where:
            nn.init.ones_(layer.bias)  # pyright: ignore[reportArgumentType]

    def channel_weights(self, source: Sequence[Tensor]) -> list[Tensor]:
        """Return w of each pair, (B, C), each row summing to 1."""
        pooled = [source[m].mean(dim=(2, 3)) for m, _ in self.scheme.pairs]
        if not self.scheme.channel_weights:
            return [torch.full_like(each, 1 / each.shape[1]) for each in pooled]
        return [layer(each).softmax(1) for layer, each in zip(self.what, pooled, strict=True)]

    def pair_weights(self, source: Sequence[Tensor]) -> list[Tensor]:
        """Return lambda of each pair, (B, 1), from 0 to 6."""
        pooled = [source[m].mean(dim=(2, 3)) for m, _ in self.scheme.pairs]
        if not self.scheme.pair_weights:
            return [each.new_ones(len(each), 1) for each in pooled]
        return [functional.relu6(layer(each)) for layer, each in zip(self.where, pooled, strict=True)]

    def forward(self, source: Sequence[Tensor]) -> list[Tensor]:
        """Return the coefficients lambda w / B of each pair, (B, C); times the errors they are L_wfm."""
        weights = zip(self.pair_weights(source), self.channel_weights(source), strict=True)
        return [where * what / len(what) for where, what in weights]


def matching_loss(coefficients: Sequence[Tensor], errors: Sequence[Tensor]) -> Tensor:
    """Return L_wfm, a batch mean: the sum over pairs, samples and channels of coefficient times error."""
    products = [(each * error).sum() for each, error in zip(coefficients, errors, strict=True)]
    return torch.stack(products).sum()
