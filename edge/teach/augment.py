"""Light augmentation of a batch: what changes a picture but not what is in it.

Everything is drawn from one generator, so that an epoch can be repeated exactly. Shape suffixes: B
samples, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from edge.datasets.site_dataset import SiteDataset

_CHANNEL_ORDERS = torch.tensor([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])


@dataclass(frozen=True)
class Augmentation:
    """Which changes are harmless for this data.

    Args:
        shift_px: largest shift along each axis; the border is repeated.
        zoom: largest relative change of scale.
        contrast: largest relative change of contrast.
        mirror: mirror left to right with probability 1/2.
        exchange_colours: permute the three colour channels.
    """

    shift_px: int
    zoom: float
    contrast: float
    mirror: bool
    exchange_colours: bool

    @classmethod
    def for_data(cls, data: SiteDataset) -> Augmentation:
        """Return what the data's own invariances allow (a mirrored digit is no digit)."""
        photographs = data.mirror_invariant
        return cls(
            shift_px=max(1, data.image_px // 16),
            zoom=0.15 if photographs else 0.0,
            contrast=0.2 if photographs else 0.0,
            mirror=data.mirror_invariant,
            exchange_colours=data.colour_invariant,
        )

    def apply(
        self, images_B3HW: Tensor, masks_BHW: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Return changed uint8 images and the masks changed alike."""
        count, _, height, width = images_B3HW.shape
        scale = 1 + self.zoom * (2 * torch.rand(count, 1, generator=generator) - 1)
        rows_BH = self._source(height, scale, count, generator)
        columns_BW = self._source(width, scale, count, generator)
        if self.mirror:
            mirrored = torch.rand(count, 1, generator=generator) < 0.5
            columns_BW = torch.where(mirrored, columns_BW.flip(1), columns_BW)
        index_BHW = (torch.arange(count)[:, None, None], rows_BH[:, :, None], columns_BW[:, None, :])
        moved = images_B3HW.permute(0, 2, 3, 1)[index_BHW].permute(0, 3, 1, 2)
        if self.exchange_colours:
            order = _CHANNEL_ORDERS[torch.randint(6, (count,), generator=generator)]
            moved = moved[torch.arange(count)[:, None], order]
        if self.contrast:
            gain = 1 + self.contrast * (2 * torch.rand(count, 1, 1, 1, generator=generator) - 1)
            level = moved.to(torch.float32).mean(dim=(1, 2, 3), keepdim=True)
            moved = (level + (moved - level) * gain).clamp(0, 255).to(torch.uint8)
        return moved, None if masks_BHW is None else masks_BHW[index_BHW]

    def _source(self, side: int, scale_B1: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Return, for each sample, the source coordinate of every target coordinate (nearest)."""
        shift = torch.randint(-self.shift_px, self.shift_px + 1, (count, 1), generator=generator)
        centred = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
        source = centred * scale_B1 + (side - 1) / 2 + shift
        return source.round().clamp(0, side - 1).to(torch.int64)
