"""Several hosts were tried for one teacher's task: whose turn at the gates is it? Pure.

Candidates wait at the center's gate until every one of them is learned. The best agreement goes on; the
others are kept in reserve, and should the site refuse the first, the next best takes its turn without being
learned again. Once one of them is published, the rest are outdone.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

from transplant.types import MergeState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from central.registry.values import StoredMerge


class Turn(StrEnum):
    """What a candidate is to do."""

    GO = "go"
    WAIT = "wait"
    OUTDONE = "outdone"


def turn_of(candidate: StoredMerge, merges: Iterable[StoredMerge]) -> Turn:
    """Return what a candidate is to do, given all merges of its teacher.

    Args:
        candidate: learned, and not yet past the center's gate.
        merges: of the same teacher; those of another task, learned from another teacher, or refined from
            another route, do not count.
    """
    rivals = [each for each in merges if _competes(candidate, each)]
    if any(each.status.state is MergeState.PUBLISHED for each in rivals):
        return Turn.OUTDONE
    open_ones = [each for each in rivals if not each.status.ended]
    if any(each.status.state is not MergeState.CANDIDATE or each.status.accepted for each in open_ones):
        return Turn.WAIT
    return Turn.GO if all(_score(candidate) > _score(each) for each in open_ones) else Turn.WAIT


def _competes(candidate: StoredMerge, other: StoredMerge) -> bool:
    one, another = candidate.task, other.task
    return (
        one.key != another.key
        and (one.task, one.category) == (another.task, another.category)
        and (one.supervised_by is None) == (another.supervised_by is None)
        and one.refined_from == another.refined_from
    )


def _score(merge: StoredMerge) -> tuple[float, int]:
    """Rank by agreement, then by who was planned first; an agreement that is no number is none."""
    agreement = merge.status.figures.get("agreement", -1.0)
    return (-1.0 if math.isnan(agreement) else agreement), -merge.position
