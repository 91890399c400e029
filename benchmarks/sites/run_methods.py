"""The contenders by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.operator import drawings_of
from benchmarks.sites.peers import CONTENDERS
from benchmarks.sites.references import Centralised, Ensemble, Local
from benchmarks.sites.transplanting import Transplant
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.sites.contender import Contender

OURS = ("transplant", "transplant-proxy", "transplant-refined")
SPENDS_LABELS = ("transplant-refined",)
"""Methods that may learn from a few labels at their sites; by default there are none."""
REFERENCES = ("ensemble", "local", "centralised")
METHODS = (*OURS, *CONTENDERS, *REFERENCES)
"""In the order of the report."""


def contenders_of(
    methods: Sequence[str], data: str, duplicates: str, labels: int = 0
) -> dict[str, Contender]:
    """Return the contenders of these names.

    Raises:
        InvalidSettings: if one is unknown, or for another word than best or average.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise InvalidSettings(f"--methods takes {', '.join(METHODS)}; got {', '.join(unknown)}")
    drawings = drawings_of(data)
    every: dict[str, Contender] = {
        "transplant": Transplant(duplicates, drawings),
        "transplant-proxy": Transplant(duplicates, drawings, public=True),
        "transplant-refined": Transplant(duplicates, drawings, refine=True, labels=labels),
        **CONTENDERS,
        "ensemble": Ensemble(),
        "local": Local(),
        "centralised": Centralised(),
    }
    return {name: every[name] for name in METHODS if name in methods}
