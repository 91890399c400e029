"""A simulated federation as plain data: what each site holds, and what all contenders are measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

OTHER = -1
"""The label of a picture of which a site knows only that it shows none of the site's own categories."""


@dataclass(frozen=True, eq=False)
class LocalData:
    """Pictures of one place: images uint8 (N, 3, H, W), labels int64 (N,) that count categories or are OTHER.

    `known` are the categories that this site can tell apart from all others: a picture without the label
    of a known category certainly does not show it; of the other categories an OTHER says nothing.
    """

    images: Tensor
    labels: Tensor
    known: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Federation:
    """All sites of a scenario and the test pictures, a function of scenario, data and seed alone.

    `test` is labelled with every category (no OTHER). `unlabelled` are public pictures that the center of
    a method may have where its paper asks for some (FedDF); they show none of the sites' pictures.
    """

    scenario: str
    categories: tuple[str, ...]
    sites: tuple[LocalData, ...]
    test: LocalData
    image_px: int
    seed: int
    unlabelled: Tensor | None = None
