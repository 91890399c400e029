"""Shorter numbers for the weights of a module: chosen by the site that ships it, float32 again once loaded.

    f32    as they are
    f16    10 bits of fraction; refused where a weight is beyond 65504
    bf16   7 bits of fraction, the range of float32
    int8   q = round(w / scale), scale = max |w| / 127 of each output channel (of the first dimension)

Vectors (biases, means) stay float32: they are a thousandth of a net's bytes, and each of them moves a whole
channel. What is loaded is the same on every machine: a half is widened exactly, and q * scale is one float32
multiplication.
"""

from __future__ import annotations

import copy
from enum import StrEnum
from typing import TYPE_CHECKING

import torch

from transplant.artifact.manifest_fields import LARGEST_CODE, scale_of
from transplant.errors import TensorNotFinite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


class Encoding(StrEnum):
    """How the weights of a module are written."""

    F32 = "f32"
    F16 = "f16"
    BF16 = "bf16"
    INT8 = "int8"


_HALVES = {Encoding.F16: torch.float16, Encoding.BF16: torch.bfloat16}


def encoded(weights: Mapping[str, Tensor], encoding: Encoding) -> dict[str, Tensor]:
    """Return the tensors that are written: the weights, and with int8 the scales of their channels.

    Args:
        weights: finite, by name.
        encoding: how; f32 leaves each tensor as it is.

    Raises:
        TensorNotFinite: if a weight is too large for f16.
    """
    if encoding is Encoding.F32:
        return dict(weights)
    written: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if tensor.dim() < 2 or not tensor.is_floating_point():
            written[name] = tensor
        elif encoding is Encoding.INT8:
            written[name], written[scale_of(name)] = _codes(tensor.float())
        else:
            half = _HALVES[encoding]
            if float(tensor.abs().max()) > torch.finfo(half).max:
                raise TensorNotFinite(
                    f"{name} holds {float(tensor.abs().max()):g}, and {encoding} ends at "
                    f"{torch.finfo(half).max:g}: seal it with --encoding bf16 or f32"
                )
            written[name] = tensor.to(half)
    return written


def decoded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the float32 weights behind tensors that were checked: halves widened, codes scaled."""
    scales = {scale_of(name) for name, tensor in tensors.items() if tensor.dtype is torch.int8}
    weights: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name in scales:
            continue
        if tensor.dtype is torch.int8:
            scale = tensors[scale_of(name)]
            weights[name] = tensor.float().mul_(scale.view(-1, *[1] * (tensor.dim() - 1)))
        else:
            weights[name] = tensor.float()
    return weights


def as_received(net: nn.Module, encoding: Encoding) -> nn.Module:
    """Return the net that whoever receives `net` in this encoding will compute with.

    Raises:
        TensorNotFinite: see `encoded`.
    """
    if encoding is Encoding.F32:
        return net
    received = copy.deepcopy(net)
    received.load_state_dict(decoded(encoded(net.state_dict(), encoding)))
    return received


def _codes(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return int8 codes and the float32 scale of each slice of the first dimension; of zeros it is 1."""
    largest = weights.reshape(len(weights), -1).abs().amax(dim=1)
    # A scale below the normal range would be a poor divisor; weights that small are zero beside any others.
    scale = torch.where(
        largest / LARGEST_CODE >= torch.finfo(torch.float32).tiny, largest / LARGEST_CODE, 1.0
    )
    codes = (weights / scale.view(-1, *[1] * (weights.dim() - 1))).round_()
    return codes.clamp_(-LARGEST_CODE, LARGEST_CODE).to(torch.int8), scale
