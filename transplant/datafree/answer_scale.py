"""Where a teacher's answers lie: the scale that wanted answers and errors are measured in.

One answer, or none, has no spread: a deviation of zero, not the NaN of a division by N - 1 = 0, which would
turn every image that is nudged by it black, and every adapter that is learned with it into NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def deviation_of(answers: Tensor, least: float) -> float:
    """Return the sample deviation (N - 1) of all values of `answers`, and `least` where it is smaller.

    Args:
        answers: of any shape, down to a single value.
        least: floor, > 0, so that the deviation may be divided by.
    """
    if answers.numel() < 2:
        return least
    return float(answers.std().clamp(min=least))
