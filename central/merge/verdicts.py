"""What a site's verdict says: how much of the way from the floor to the teacher a route closes. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from transplant.errors import MergeNotPossible
from transplant.nets.measures import DECIDING_MEASURE, gap_closed
from transplant.types import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transplant.types import Task


def closed_percent(task: Task, verdict: Verdict) -> float:
    """Return `gap_closed` of a verdict in percent: 100 is as good as the teacher.

    Raises:
        MergeNotPossible: if the deciding measure is missing.
    """
    for who, figures in _parts(verdict):
        if DECIDING_MEASURE[task] not in figures:
            raise MergeNotPossible(
                f"the verdict has no {who}.{DECIDING_MEASURE[task]}, which decides about this task"
            )
    return 100 * gap_closed(task, verdict.teacher, verdict.transplanted, verdict.floor)


def standing_percent(task: Task, verdict: Verdict, published: Mapping[str, float]) -> float | None:
    """Return what a route that is published already closes, by the floor and the teacher of a verdict.

    A percentage of an older, worse teacher would say nothing beside one of a newer, better one: what the
    published route measured is put on the newcomer's scale.

    Args:
        task: of both routes.
        verdict: of the route that would take its place.
        published: measures of the published one, by name; None is returned if the deciding one is missing.
    """
    if DECIDING_MEASURE[task] not in published:
        return None
    return 100 * gap_closed(task, verdict.teacher, dict(published), verdict.floor)


def flat_figures(verdict: Verdict) -> dict[str, float]:
    """Return every figure of a verdict under one dotted name ("teacher.error", "floor.iou")."""
    figures = {f"{who}.{name}": value for who, part in _parts(verdict) for name, value in part.items()}
    return {**figures, "validation_samples": float(verdict.sample_count)}


def verdict_of(merge_key: str, figures: Mapping[str, float]) -> Verdict:
    """Return the verdict that `flat_figures` was taken of: what a signature was made under."""
    parts: dict[str, dict[str, float]] = {"teacher": {}, "transplanted": {}, "floor": {}}
    for name, value in figures.items():
        who, _, measure = name.partition(".")
        if measure and who in parts:
            parts[who][measure] = value
    samples = int(figures.get("validation_samples", 0))
    return Verdict(merge_key, parts["teacher"], parts["transplanted"], parts["floor"], samples)


def checked_verdict(verdict: Verdict) -> Verdict:
    """Return the verdict if its figures can be percentages; a temperature has the same range.

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
