"""A site's labelled examples in a drawn order: those that show its category apart from those that do not."""

from __future__ import annotations

import torch
from torch import Tensor


def drawn_by_presence(targets: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Draw an order of all examples and part it; the first few of either part are a choice of few.

    Args:
        targets: uint8 (N,) of 0 and 1, or masks (N,H,W), where one pixel of 1 shows the category.
        seed: of the order.

    Returns:
        Indices of the examples with the category and of those without it, int64, in the order drawn.
    """
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))
    present = (targets[order] == 1).view(len(order), -1).any(dim=1)
    return order[present], order[~present]
