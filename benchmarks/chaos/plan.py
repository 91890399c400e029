"""Which faults happen, to whom, and when: drawn from a seed, so that a run can be asked for again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


class FaultKind(StrEnum):
    """What can be done to a federation."""

    KILL_SERVER = "kill-server"
    KILL_SITE = "kill-site"
    CUT = "cut-link"
    STALL = "stall-link"
    THROTTLE = "throttle-link"
    DELAY = "delay-link"
    HALF_CLOSE = "half-close-link"
    DUPLICATE = "duplicate-calls"
    REORDER = "reordered-calls"
    REPLAY = "replayed-chunks"
    FULL_DISK = "full-disk"
    CLOCK_JUMP = "clock-jump"
    RESTART_DATABASE = "restart-database"
    KILL_WORKER = "kill-worker"


WEIGHTS = {
    FaultKind.KILL_SERVER: 3,
    FaultKind.KILL_SITE: 5,
    FaultKind.CUT: 3,
    FaultKind.STALL: 2,
    FaultKind.THROTTLE: 2,
    FaultKind.DELAY: 2,
    FaultKind.HALF_CLOSE: 2,
    FaultKind.DUPLICATE: 3,
    FaultKind.REORDER: 2,
    FaultKind.REPLAY: 3,
    FaultKind.FULL_DISK: 2,
    FaultKind.CLOCK_JUMP: 1,
    FaultKind.RESTART_DATABASE: 2,
    FaultKind.KILL_WORKER: 2,
}

ALWAYS = frozenset(set(FaultKind) - {FaultKind.RESTART_DATABASE, FaultKind.KILL_WORKER})
"""What needs nothing but the server and its sites."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        number: its place in the schedule.
        kind: what happens.
        site: index of the site that it happens to; of no meaning where it happens to the server.
        gap_s: time since the fault before it.
        amount: between 0 and 1; how long, how slow or how much, as its kind has it.
    """

    number: int
    kind: FaultKind
    site: int
    gap_s: float
    amount: float

    def sentence(self) -> str:
        """Return it in words, for a person and for the log of a run."""
        return f"fault {self.number}: {self.kind.value}, site {self.site}, amount {self.amount:.2f}"


def schedule(
    seed: int, count: int, sites: int, *, kinds: Collection[FaultKind] = ALWAYS, mean_gap_s: float = 1.0
) -> tuple[Fault, ...]:
    """Return `count` faults. Every kind comes at least once where there are enough of them.

    Args:
        seed: the same one gives the same schedule.
        count: how many.
        sites: how many sites there are.
        kinds: which may come.
        mean_gap_s: of the pauses between two faults, which are exponential: some come together.
    """
    draw = random.Random(seed)
    chosen = [kind for kind in FaultKind if kind in kinds]
    drawn = list(chosen) if count >= len(chosen) else []
    drawn += draw.choices(chosen, [WEIGHTS[kind] for kind in chosen], k=count - len(drawn))
    draw.shuffle(drawn)
    return tuple(
        Fault(number, kind, draw.randrange(sites), draw.expovariate(1 / mean_gap_s), draw.random())
        for number, kind in enumerate(drawn, start=1)
    )
