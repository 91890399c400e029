"""What a site sends back of a round: a difference of tensors, and a few figures. And how one is checked.

A `round_delta` is what the tensors are after a site's work less what they were before. Sites and center
name tensors by their difference to a published start, which both hold: the arrays of round r are the sum of
what rounds 1 to r - 1 came to, zeros at first. So no weights travel, in neither direction, and a
difference can be clipped, noised and averaged as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from transplant.errors import PayloadMalformed, TensorNotFinite, TooLarge

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_IMAGES = 100_000_000
"""More images than any site has: who claims more wants to outweigh all others."""

_LEAST_NORM = 1e-12  # its square is a float32 still


@dataclass(frozen=True, eq=False)
class RoundDelta:
    """What a site's work changed, and figures of it that say nothing of a single image.

    Attributes:
        tensors: parameter name -> difference, float32, of the parameter's shape.
        figures: "images" that were drawn from, "labels" that were read, mean losses.
    """

    tensors: dict[str, Tensor]
    figures: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def norm(self) -> float:
        """Return the L2 norm of all tensors together."""
        return norm_of(self.tensors)


def norm_of(tensors: Mapping[str, Tensor]) -> float:
    """Return the L2 norm of all tensors together."""
    return math.sqrt(sum(float(tensor.to(torch.float64).square().sum()) for tensor in tensors.values()))


def parameters_of(net: nn.Module) -> dict[str, Tensor]:
    """Return a copy of what a round may change: the parameters of a net, not its buffers."""
    return {name: parameter.detach().clone() for name, parameter in net.named_parameters()}


def zeros_like(net: nn.Module) -> dict[str, Tensor]:
    """Return the difference of a net to itself: what the first round starts with."""
    return {
        name: torch.zeros_like(parameter, requires_grad=False) for name, parameter in net.named_parameters()
    }


@torch.no_grad()
def add_to(net: nn.Module, delta: Mapping[str, Tensor]) -> None:
    """Add a difference to the parameters of a net, which must have the very names and shapes.

    Raises:
        PayloadMalformed: if names, shapes or types differ.
        TensorNotFinite: if a number is none.
    """
    own = dict(net.named_parameters())
    check_delta(delta, {name: tuple(parameter.shape) for name, parameter in own.items()})
    for name, tensor in delta.items():
        own[name].add_(tensor.to(own[name].device))


def check_delta(
    delta: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], most_norm: float = 0.0
) -> None:
    """Check that a difference is one of these tensors, before a number of it is used.

    Args:
        delta: as received.
        shapes: parameter name -> shape, all of them.
        most_norm: the longest that is taken; 0: of any length.

    Raises:
        PayloadMalformed: if a tensor is missing, unknown, or of another shape or type.
        TensorNotFinite: if a number is none.
        TooLarge: if the difference is longer than `most_norm`.
    """
    if set(delta) != set(shapes):
        odd = ", ".join(sorted(set(delta) ^ set(shapes))[:4])
        raise PayloadMalformed(f"the tensors are not those that were sent out: {odd[:200]}")
    for name, tensor in delta.items():
        if tensor.dtype != torch.float32 or tuple(tensor.shape) != shapes[name]:
            raise PayloadMalformed(
                f"{name} is {tensor.dtype} {tuple(tensor.shape)}, not float32 {shapes[name]}"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise TensorNotFinite(f"{name} holds numbers that are not finite")
    norm = norm_of(delta)
    if most_norm and norm > most_norm:
        raise TooLarge(f"the difference is {norm:.4g} long, and at most {most_norm:.4g} is taken")


def clipped(tensors: Mapping[str, Tensor], clip_norm: float) -> dict[str, Tensor]:
    """Return a difference that is at most `clip_norm` long (0: of any length), its direction kept."""
    norm = norm_of(tensors)
    if not clip_norm or norm <= clip_norm:
        return dict(tensors)
    return {name: tensor * (clip_norm / norm) for name, tensor in tensors.items()}


def never_still(moved: Mapping[str, Tensor], sent: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what became of tensors, with one number a hair off where nothing was changed at all.

    Flower's clipping divides by the length of the difference. Noise follows, beside which a hair is none.
    """
    if norm_of({name: moved[name] - tensor for name, tensor in sent.items()}) >= _LEAST_NORM:
        return dict(moved)
    name = min(sent)
    numbers = sent[name].flatten().clone()
    numbers[0] += max(_LEAST_NORM, 1e-6 * abs(float(numbers[0])))
    return {**moved, name: numbers.view_as(sent[name])}
