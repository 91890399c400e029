"""A short vector of a net's weights, so that weights of two nets can be compared without them.

Signs drawn once for an architecture, and sums of all places that fall into the same of `LENGTH` bins (a
count sketch: Charikar, Chen, Farach-Colton 2002) keep angles between weight vectors up to about
1 / sqrt(LENGTH). Each tensor is brought to unit root mean square before, so that none drowns the others
and a copy with rescaled layers is still a copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from transplant.artifact.digest import derive_seed
from transplant.nets.seeded import seeded

if TYPE_CHECKING:
    from torch import nn

LENGTH = 256
"""Numbers in a fingerprint."""

_DIGITS = 5
_SLICE = LENGTH << 12


def fingerprint_of(net: nn.Module) -> tuple[float, ...]:
    """Return the fingerprint of a net's weights, of unit length; all zero for weights that are all zero."""
    sketch = torch.zeros(LENGTH, dtype=torch.float64)
    for name, tensor in sorted(net.state_dict().items()):
        if not tensor.is_floating_point():
            continue
        flat = tensor.reshape(-1)
        scale = float(flat.double().square().mean().sqrt())
        if scale == 0:
            continue
        seed = derive_seed("fingerprint", name, *map(str, tensor.shape))
        for part, start in enumerate(range(0, flat.numel(), _SLICE)):
            piece = flat[start : start + _SLICE].float() / scale
            signs = torch.randint(0, 2, piece.shape, generator=seeded(seed, part), dtype=torch.int8)
            signed = torch.where(signs.bool(), piece, -piece)
            padded = torch.nn.functional.pad(signed, (0, -len(signed) % LENGTH))
            sketch += padded.view(-1, LENGTH).double().sum(0)
    length = float(sketch.norm())
    if length == 0:
        return (0.0,) * LENGTH
    return tuple(round(value, _DIGITS) for value in (sketch / length).tolist())
