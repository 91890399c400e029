"""Which site answers in which round: drop-outs, stragglers and late joiners as a plan drawn by seed.

The plan is the same for every method of a federation, so all of them meet the same absences.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from transplant.artifact.digest import derive_seed
from transplant.errors import InvalidSettings

_SLOW_MISSES = 0.5


class Presence(StrEnum):
    """What becomes of the work that the center would give a site."""

    HERE = "here"
    AWAY = "away"  # nothing reaches it
    TOO_LATE = "too late"  # it gets the work, and its answer comes when the round is over


@dataclass(frozen=True)
class Attendance:
    """A plan of absences.

    Args:
        seed: of all draws.
        dropout: probability with which any site is away in any round.
        stragglers: share of slow sites; such a site is too late in every second round on average.
        late: share of sites that are away until round `late_until`.
        late_until: the first round, counted from 1, at which late joiners are there.

    Raises:
        InvalidSettings: for what is no share, or nobody who ever comes.
    """

    seed: int = 0
    dropout: float = 0.0
    stragglers: float = 0.0
    late: float = 0.0
    late_until: int = 2

    def __post_init__(self) -> None:
        for name in ("dropout", "stragglers", "late"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidSettings(f"--{name} is a share in 0..1; got {getattr(self, name)}")
        if self.dropout == 1:
            raise InvalidSettings("--dropout 1 leaves nobody: take less")

    @property
    def complete(self) -> bool:
        """Tell whether every site is there in every round."""
        return not (self.dropout or self.stragglers or self.late)

    def presence(self, site: int, round_number: int) -> Presence:
        """Tell whether a site answers in a round, counted from 1; a pure function of the plan."""
        if self._drawn("late", site) < self.late and round_number < self.late_until:
            return Presence.AWAY
        if self._drawn("dropout", site, round_number) < self.dropout:
            return Presence.AWAY
        slow = self._drawn("slow", site) < self.stragglers
        if slow and self._drawn("too late", site, round_number) < _SLOW_MISSES:
            return Presence.TOO_LATE
        return Presence.HERE

    def _drawn(self, what: str, *numbers: int) -> float:
        seed = derive_seed("attendance", what, str(self.seed), *map(str, numbers))
        return float(np.random.default_rng(seed).random())
