"""The ensemble of the sites' nets: the mean of their logits, each site heard on what it knows.

The papers average logits over sites, D(x) = sum_i w_i f_i(x), with w_i = 1/m but for Co-Boosting. A site
says nothing of categories that it never learned to tell apart (`LocalData.known`), so the mean of a category
is over the sites that know it:

    D(x)_k = sum_i w_i [k known to i] f_i(x)_k / sum_i w_i [k known to i]

which is the papers' own where every site knows every category. A category that nobody who answered knows
has the mean over all. Where sites know few categories, the logits are log-odds against 'none of the site's
own' (`answers`), and softmax over them is the probability of each category given that the picture shows
exactly one; so all of the papers' losses on D(x) keep their meaning. Shape suffixes: S sites, B
pictures, K categories.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from transplant.nets.transplant_net import freeze

if TYPE_CHECKING:
    from collections.abc import Sequence


class Ensemble(nn.Module):
    """Frozen nets of sites that answer together.

    Args:
        nets: one a site, images -> (B, K).
        known: of each site, the categories that it tells apart.
        categories: K.
    """

    known_SK: Tensor
    weights_S: Tensor

    def __init__(self, nets: Sequence[nn.Module], known: Sequence[Sequence[int]], categories: int) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)
        told_SK = torch.zeros(len(nets), categories, dtype=torch.bool)
        for told_K, each in zip(told_SK, known, strict=True):
            told_K[list(each)] = True
        self.covered = tuple(told_SK.any(dim=0).nonzero().flatten().tolist())
        self.register_buffer("known_SK", (told_SK | ~told_SK.any(dim=0)).to(torch.float32))
        self.register_buffer("weights_S", torch.full((len(nets),), 1 / len(nets)))
        freeze(self)

    def site_logits(self, images_B3HW: Tensor) -> Tensor:
        """Return what each net says, (S, B, K)."""
        return torch.stack([net(images_B3HW) for net in self.nets])

    def together(self, logits_SBK: Tensor, weights_S: Tensor | None = None) -> Tensor:
        """Return D(x), (B, K), from what each net says; with the ensemble's weights or with others."""
        weights_SK = (self.weights_S if weights_S is None else weights_S)[:, None] * self.known_SK
        total_K = weights_SK.sum(dim=0)
        # Of a category whose knowers all lost their weight each is heard alike.
        share_SK = torch.where(
            total_K > 0,
            weights_SK / total_K.clamp(min=torch.finfo(torch.float32).tiny),
            self.known_SK / self.known_SK.sum(dim=0),
        )
        return (share_SK[:, None, :] * logits_SBK).sum(dim=0)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """Return D(x), (B, K)."""
        return self.together(self.site_logits(images_B3HW))
