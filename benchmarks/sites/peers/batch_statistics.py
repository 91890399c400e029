"""How far the feature statistics of a batch are from what a net's batch normalisation remembers.

DENSE's L_BN (arXiv 2112.12371), from DeepInversion (Yin et al. 2020):

    L_BN(x) = 1/m sum_k sum_l ( ||mu_l(x) - mu_{k,l}|| + ||sigma^2_l(x) - sigma^2_{k,l}|| )

over the m nets and the normalisation layers l of each. VGGs without normalisation have no such layer; of
them the distance is 0, and nothing else can stand in for it, for they remember no statistics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.utils.hooks import RemovableHandle


class BatchStatistics:
    """Listens, within its `with` block, to every batch normalisation of some nets in evaluation mode."""

    def __init__(self, nets: Sequence[nn.Module]) -> None:
        self._count = len(nets)
        self._layers = [layer for net in nets for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
        self._handles: list[RemovableHandle] = []
        self._distances: list[Tensor] = []

    def __enter__(self) -> BatchStatistics:
        self._handles = [layer.register_forward_hook(self._hear) for layer in self._layers]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def distance(self) -> Tensor:
        """Return L_BN of the batches since it was last asked, and forget them."""
        heard, self._distances = self._distances, []
        return torch.stack(heard).sum() / self._count if heard else torch.zeros(())

    def _hear(self, layer: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        if not isinstance(layer, nn.BatchNorm2d) or layer.running_mean is None or layer.running_var is None:
            return
        features = inputs[0].to(torch.float32)
        mean, variance = features.mean(dim=(0, 2, 3)), features.var(dim=(0, 2, 3), unbiased=False)
        self._distances.append((mean - layer.running_mean).norm() + (variance - layer.running_var).norm())
