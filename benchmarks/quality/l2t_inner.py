"""What is kept of a training of L2T for figures 3d and 6: lambda of each pair, and saliency maps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save

from benchmarks.quality.l2t_methods import SALIENT
from benchmarks.quality.natural_images import standardised
from transplant.artifact.durable_file import write_durably

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from benchmarks.quality.natural_images import Pictures
    from transplant.transfer.tapped_net import TappedNet

_SALIENT_IMAGES = 8


def lambda_figures(lent: dict[str, Any] | None) -> dict[str, float]:
    """Return what tells a learned lambda from its start, where every pair has 1; of others nothing.

    Args:
        lent: mean lambda of each pair as "before" and "after".

    Returns:
        `lambda_moved`, the mean of |after - before| over pairs, and `lambda_spread`, the largest less the
        smallest after training: both are 0 at the start, and a common drift of all pairs leaves the second 0.
    """
    if lent is None:
        return {}
    before, after = lent["before"], lent["after"]
    moved = [abs(late - early) for early, late in zip(before, after, strict=True)]
    return {"lambda_moved": sum(moved) / len(moved), "lambda_spread": max(after) - min(after)}


def keep_inner(
    out: Path, name: str, method: str, net: TappedNet, lent: dict[str, Any] | None, test: Pictures
) -> None:
    """Write down what the lambda diagram and the saliency maps are drawn from, under the name of a cell."""
    (out / "inner").mkdir(parents=True, exist_ok=True)
    if lent is not None:
        write_durably(out / "inner" / f"{name}.json", json.dumps(lent).encode())
    if method in SALIENT:
        images = test.images_BCHW[:_SALIENT_IMAGES]
        kept = {"images": images, "saliency": saliency(net, images, test.labels_B[:_SALIENT_IMAGES])}
        write_durably(out / "inner" / f"{name}.saliency", save(kept))


def saliency(net: TappedNet, images_u8: Tensor, labels_B: Tensor) -> Tensor:
    """Return |d logit of the true class / d image|, the largest over colours, normalised: (B, 32, 32)."""
    device = next(net.parameters()).device
    images = standardised(images_u8).to(device).requires_grad_(True)
    logits = net(images).answers.gather(1, labels_B.to(device)[:, None]).sum()
    (gradient,) = torch.autograd.grad(logits, images)
    found = gradient.abs().amax(1).cpu()
    return found / found.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None]
