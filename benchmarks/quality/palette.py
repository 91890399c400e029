"""How the series of one picture are told apart: by colour, and by marker where colours are used up."""

from __future__ import annotations

from typing import NamedTuple

_COLOURS = ("#d9822b", "#4c6a92", "#7a9e7e", "#b5543a", "#8a6bb1", "#4aa3a2", "#a8894f", "#555555", "#c77cae")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


class Look(NamedTuple):
    """How one series looks."""

    color: str
    marker: str


def looks(count: int) -> list[Look]:
    """Return one look for each of so many series; no two are the same up to 63."""
    return [
        Look(_COLOURS[place % len(_COLOURS)], _MARKERS[place // len(_COLOURS) % len(_MARKERS)])
        for place in range(count)
    ]
