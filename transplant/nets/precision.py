"""Mixed precision by name: whatever trains or learns runs its forward passes in this context."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transplant.types import Precision


def mixed_precision(precision: Precision) -> torch.autocast:
    """Return the context of forward passes; "float32" changes nothing."""
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
