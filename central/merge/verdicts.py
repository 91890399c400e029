"""What a site's verdict says: how much of the way from the floor to the teacher a route closes. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from transplant.errors import MergeNotPossible
from transplant.types import Task, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

DECIDING_MEASURE = {Task.CLASSIFICATION: "error", Task.SEGMENTATION: "iou"}
"""The measure that decides. Pixel accuracy does not: all background already scores about 75 %."""

_LOWER_IS_BETTER = frozenset({"error"})


def closed_percent(task: Task, verdict: Verdict) -> float:
    """Return percent of the way from the floor to the teacher that the transplanted route closes.

    100 means "as good as the teacher"; a route worse than the floor is negative. Where the teacher is no
    better than the floor there is no way to go: 100 if the route is at least as good as the teacher, else 0.

    Raises:
        MergeNotPossible: if the deciding measure is missing.
    """
    name = DECIDING_MEASURE[task]
    values = [_measure(figures, name, who) for who, figures in _parts(verdict)]
    sign = -1.0 if name in _LOWER_IS_BETTER else 1.0
    teacher, transplanted, floor = (sign * value for value in values)
    if teacher <= floor:
        return 100.0 if transplanted >= teacher else 0.0
    return 100.0 * (transplanted - floor) / (teacher - floor)


def flat_figures(verdict: Verdict) -> dict[str, float]:
    """Return every figure of a verdict under one dotted name ("teacher.error", "floor.iou")."""
    figures = {f"{who}.{name}": value for who, part in _parts(verdict) for name, value in part.items()}
    return {**figures, "validation_samples": float(verdict.sample_count)}


def checked_verdict(verdict: Verdict) -> Verdict:
    """Return the verdict if its figures can be percentages.

    Raises:
        MergeNotPossible: on a figure outside 0..100, one that is not a number, too many, or no samples.
    """
    if verdict.sample_count < 1:
        raise MergeNotPossible("a verdict needs at least one sample")
    for who, figures in _parts(verdict):
        if len(figures) > 16:
            raise MergeNotPossible(f"{who}: more than 16 figures")
        for name, value in figures.items():
            if not math.isfinite(value) or not 0.0 <= value <= 100.0:
                raise MergeNotPossible(f"{who}.{name} is {value}: figures are percentages from 0 to 100")
    return verdict


def _parts(verdict: Verdict) -> tuple[tuple[str, Mapping[str, float]], ...]:
    return (
        ("teacher", verdict.teacher),
        ("transplanted", verdict.transplanted),
        ("floor", verdict.floor),
    )


def _measure(figures: Mapping[str, float], name: str, who: str) -> float:
    if name not in figures:
        raise MergeNotPossible(f"the verdict has no {who}.{name}, which decides about this task")
    return figures[name]
