"""The closed table of Flower's strategies, each set up to leave the choice of sites to us.

Flower's own sampling follows node ids, which are random, and waits for ever where nodes are missing. Every
strategy here takes all nodes that it is shown, and is shown those that were chosen (`central.refine.rounds`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from flwr.serverapp.strategy import (
    Bulyan,
    DifferentialPrivacyServerSideFixedClipping,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedTrimmedAvg,
    FedYogi,
    Krum,
    MultiKrum,
    Strategy,
)

from transplant.datafree.privacy import gaussian_sigma

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from central.refine.federated_run import Rounds

ARRAYS, CONFIG, FIGURES, ORDER, WEIGHT = "arrays", "config", "figures", "order", "images"
_RATE = 1e-3  # of the stepping strategies: an adapter's weights are some hundredths


def _rate(rounds: Rounds) -> dict[str, float]:
    return {"eta": rounds.server_rate or _RATE, "tau": 1e-4}


def _lying(rounds: Rounds) -> dict[str, int]:
    return {"num_malicious_nodes": rounds.feared}


def _most_trusted(rounds: Rounds) -> dict[str, int]:
    # n - f - 2 of n answers at most (El Mhamdi et al. 2018), and there may be no more than the quorum
    return _lying(rounds) | {"num_nodes_to_select": rounds.quorum - rounds.feared - 2}


_TABLE: Mapping[str, tuple[type[FedAvg], Callable[[Rounds], Mapping[str, Any]]]] = {
    "fedavg": (FedAvg, lambda _: {}),
    "fedavgm": (FedAvgM, lambda rounds: {"server_learning_rate": rounds.server_rate or 1.0}),
    "fedadam": (FedAdam, _rate),
    "fedyogi": (FedYogi, _rate),
    "fedadagrad": (FedAdagrad, _rate),
    "fedmedian": (FedMedian, lambda _: {}),
    "fedtrimmedavg": (FedTrimmedAvg, lambda _: {}),
    "krum": (Krum, _lying),
    "multikrum": (MultiKrum, _most_trusted),
    "bulyan": (Bulyan, _lying),
}


def strategy_of(rounds: Rounds) -> Strategy:
    """Return the strategy of a run, with the noise of central differential privacy where it has a budget.

    The unit of that privacy is a site: whatever one site's data are, two means of at least `quorum` answers,
    each cut to `clip_norm`, are at most 2 clip_norm / quorum apart, for every site weighs the same. The
    noise is calibrated exactly for all rounds together (`transplant.datafree.privacy`).
    """
    kind, options = _TABLE[rounds.strategy]
    own: dict[str, Any] = {
        "fraction_train": 1.0,
        "fraction_evaluate": 0.0,
        "min_train_nodes": 1,
        "min_evaluate_nodes": 0,
        "min_available_nodes": 1,
        "weighted_by_key": WEIGHT,
        "arrayrecord_key": ARRAYS,
        "configrecord_key": CONFIG,
    }
    strategy = kind(**own | dict(options(rounds)))
    if not rounds.epsilon:
        return strategy
    multiplier = 2 * gaussian_sigma(1.0, rounds.epsilon, rounds.delta) * math.sqrt(rounds.rounds)
    return DifferentialPrivacyServerSideFixedClipping(strategy, multiplier, rounds.clip_norm, rounds.quorum)
