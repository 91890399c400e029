"""What a site does for the reference that no federation can have: it sends its pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.sites.engine import SiteReply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from benchmarks.sites.engine import Setting
    from benchmarks.sites.federation import LocalData


def send_pictures(data: LocalData, sent: Mapping[str, Tensor], settings: Mapping[str, Setting]) -> SiteReply:
    """Return all pictures and labels (a `SiteWork`)."""
    del sent, settings
    return SiteReply({"images": data.images, "labels": data.labels}, {})
