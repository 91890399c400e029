"""Are these the weights of a trained net? Numbers that are finite and yet no weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from transplant.errors import WeightsImplausible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

MOST_SUBNORMAL_PERCENT = 10.0
"""Largest share of weights below the smallest normal float32.

Weight decay leaves some in filters that died. Where they are many, each product with one costs a processor
up to a hundred times the usual: a cheap way to stall whoever runs the net.
"""

_SLICE = 1 << 22
_TINY = float(torch.finfo(torch.float32).tiny)


def weigh(net: nn.Module, figures: dict[str, float]) -> list[str]:
    """Put figures about the weights of a net (finite ones) into `figures`; return what speaks against it."""
    count = zeros = subnormal = 0
    squares, largest = 0.0, 0.0
    varied = False
    for tensor in net.state_dict().values():
        if not tensor.is_floating_point():
            continue
        least, most = (float(each) for each in torch.aminmax(tensor))
        varied = varied or (tensor.dim() > 1 and least != most)
        for part in _slices(tensor):
            magnitude = part.abs()
            count += part.numel()
            zeros += int((magnitude == 0).sum())
            subnormal += int(((magnitude > 0) & (magnitude < _TINY)).sum())
            squares += float(magnitude.double().square().sum())
        largest = max(largest, abs(least), abs(most))
    figures |= {
        "weights.count": float(count),
        "weights.norm": squares**0.5,
        "weights.largest": largest,
        "weights.zero_percent": 100.0 * zeros / count,
        "weights.subnormal_percent": 100.0 * subnormal / count,
    }
    against: list[str] = []
    if not varied:
        against.append("every weight tensor of it is constant: this is no trained net")
    if figures["weights.subnormal_percent"] > MOST_SUBNORMAL_PERCENT:
        against.append(
            f"{figures['weights.subnormal_percent']:.1f} % of its weights are denormal numbers; at most "
            f"{MOST_SUBNORMAL_PERCENT:g} % are taken: set weights under {_TINY:.3g} to zero and seal again"
        )
    return against


def refuse_weights(against: list[str]) -> None:
    """Raise what speaks against a net, if anything does.

    Raises:
        WeightsImplausible: with every reason.
    """
    if against:
        raise WeightsImplausible("; ".join(against))


def _slices(tensor: Tensor) -> Iterator[Tensor]:
    flat = tensor.reshape(-1)
    for start in range(0, flat.numel(), _SLICE):
        yield flat[start : start + _SLICE].float()
