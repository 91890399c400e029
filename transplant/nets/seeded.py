"""One generator for each numbered part of something random: a part is made alone, and made again."""

from __future__ import annotations

import torch


def seeded(seed: int, part: int) -> torch.Generator:
    """Return the generator of one part (a step, a batch) of what `seed` names."""
    return torch.Generator().manual_seed((seed * 1_000_003 + part) % (2**63))
