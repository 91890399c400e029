"""Local differential privacy of what this site answers in federated rounds: how much noise, and for how long.

The unit is the site: any two data sets of it are neighbours. A round's difference is cut to `clip_norm`,
so two of them are at most 2 `clip_norm` apart; noise of deviation s in each of T rounds is the Gaussian
mechanism once, with sensitivity 2 `clip_norm` sqrt(T) (the vector of all rounds), calibrated exactly
(Balle and Wang 2018, `transplant.datafree.privacy`). So one run of T rounds costs (epsilon, delta) in all.

How many rounds there are is the center's word, and it must not be able to ask more often: what is answered
is counted here, written down before the answer leaves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.site_home import read_document, write_document
from transplant.datafree.privacy import gaussian_sigma
from transplant.errors import NotAllowed

if TYPE_CHECKING:
    from pathlib import Path

    from transplant.artifact.round_order import RoundOrder


@dataclass(frozen=True)
class RoundNoise:
    """The budget of one run: epsilon, delta, and the longest difference that counts."""

    epsilon: float
    delta: float
    clip_norm: float

    def deviation(self, rounds: int) -> float:
        """Return the deviation of the noise on each number in each of `rounds` rounds."""
        return gaussian_sigma(2 * self.clip_norm, self.epsilon, self.delta) * math.sqrt(rounds)


@dataclass(frozen=True)
class RoundLedger:
    """The file that counts the answers to each run."""

    path: Path

    def enter(self, order: RoundOrder, noise: RoundNoise) -> None:
        """Count one more answer to a run.

        Raises:
            NotAllowed: if the run has had all its answers, or says another number of rounds than before.
        """
        runs = read_document(self.path) or {}
        known = runs.get(order.run, {"rounds": order.rounds, "answered": 0})
        if known["rounds"] != order.rounds or known["answered"] >= order.rounds:
            raise NotAllowed(
                f"this run has {known['answered']} noisy answers of {known['rounds']} already: another one "
                "would cost more than the site's epsilon"
            )
        told = {"epsilon": noise.epsilon, "delta": noise.delta, "clip_norm": noise.clip_norm}
        write_document(self.path, runs | {order.run: known | told | {"answered": known["answered"] + 1}})
