"""What all pictures share: how series are told apart, and logarithmic axes that can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from matplotlib.ticker import LogFormatter

if TYPE_CHECKING:
    from matplotlib.axis import Axis

_COLOURS = ("#d9822b", "#4c6a92", "#7a9e7e", "#b5543a", "#8a6bb1", "#4aa3a2", "#a8894f", "#555555", "#c77cae")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


class Look(NamedTuple):
    """How one series looks."""

    color: str
    marker: str


def looks(count: int) -> list[Look]:
    """Return a look for each of so many series: colours first, another marker where they are used up."""
    return [
        Look(_COLOURS[place % len(_COLOURS)], _MARKERS[place // len(_COLOURS) % len(_MARKERS)])
        for place in range(count)
    ]


class _PlainNumbers(LogFormatter):
    """Numbers as they are written, at the places that matplotlib labels."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def plain_numbers(axis: Axis) -> None:
    """Label a logarithmic axis by plain numbers: few of these axes span a power of ten."""
    for set_formatter in (axis.set_major_formatter, axis.set_minor_formatter):
        set_formatter(_PlainNumbers(labelOnlyBase=False, minor_thresholds=(2, 0.5)))
