"""What the operator of a center would know and set, for each data set that the benchmarks run on."""

from __future__ import annotations


def drawings_of(data: str) -> float:
    """Return which share of synthetic images are drawings: handwriting looks drawn, photographs hardly."""
    return 0.9 if data == "scenes" else 0.2
