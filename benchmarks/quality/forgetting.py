"""Forgetting, in bits: what of the nets that a cell takes as frozen is not what it was before the cell.

Every tensor of f, g_S, g_T and the host's f is known by the digest of its bytes, and so are the logits that
the teacher's and the host's own routes give on a few images. Whatever changed counts with all of its bits;
0 is the only figure that a cell may end with.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from transplant.datafree.procedural_images import procedural_images
from transplant.nets.measures import as_images

if TYPE_CHECKING:
    from collections.abc import Mapping

METRIC = "forgetting"
"""Recorded by every cell from now on; cells that were finished before stay finished without it."""

_IMAGES = 2
_SEED = 15
_BITS = 8


class Frozen:
    """What may not change while an adapter is learned.

    Args:
        nets: by name.
        routes: (name of f, name of g) of the routes whose logits are looked at.
        image_px: side of their images.
    """

    def __init__(
        self, nets: Mapping[str, nn.Module], routes: tuple[tuple[str, str], ...], image_px: int
    ) -> None:
        self._nets = nets
        self._routes = routes
        self._images = procedural_images(_IMAGES, image_px, _SEED)
        self._before = self._digests()

    def changed(self) -> dict[str, int]:
        """Return the number of bits of each tensor, and of each route's logits, that is not what it was."""
        now = self._digests()
        names = self._before.keys() | now.keys()
        return {
            name: (now.get(name) or self._before[name])[1]
            for name in sorted(names)
            if now.get(name) != self._before.get(name)
        }

    @torch.no_grad()
    def _digests(self) -> dict[str, tuple[str, int]]:
        tensors = {
            f"{name}.{key}": tensor
            for name, net in self._nets.items()
            for key, tensor in net.state_dict().items()
        }
        for f, g in self._routes:
            tensors[f"logits of {g} behind {f}"] = self._nets[g](self._nets[f](as_images(self._images)))
        return {name: _digest(tensor) for name, tensor in tensors.items()}


def _digest(tensor: Tensor) -> tuple[str, int]:
    """Return the digest of a tensor's type, shape and bytes, and how many bits it has."""
    digest = hashlib.sha256(f"{tensor.dtype}/{tuple(tensor.shape)}".encode())
    digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest(), _BITS * tensor.nbytes
