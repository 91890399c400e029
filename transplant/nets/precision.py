"""Mixed precision by name: whatever trains or learns runs its forward passes in this context."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from transplant.nets.placement import CPU

if TYPE_CHECKING:
    from transplant.types import Precision


def mixed_precision(precision: Precision, device: torch.device = CPU) -> torch.autocast:
    """Return the context of forward passes on a device; "float32" changes nothing."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
