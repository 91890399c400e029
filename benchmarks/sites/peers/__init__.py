"""What a user would pick instead: federated averaging and one-shot federated learning, one paper a file.

Every method trains the same net at the same sites with the same work (`local_training`), so that in one round
all of them begin with the same local nets. What their papers agree on, at every Dirichlet alpha of 0.1, 0.3
and 0.5, is an order: FedAvg < FedDF <= DENSE <= Co-Boosting <= the ensemble of the local nets, which every
distilling method reports as its figure `ensemble_accuracy`. Numbers do not carry over between papers; the
order is looked at by

    transplant-bench sites dirichlet --sites 5 --methods fedavg,feddf,dense,co-boosting

where what the center learns is its budget, --steps: a thousand are a small part of the papers' own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.sites.peers.co_boosting import CoBoosting
from benchmarks.sites.peers.dense import Dense
from benchmarks.sites.peers.fedavg import FedAvg
from benchmarks.sites.peers.feddf import FedDF
from benchmarks.sites.peers.fedprox import FED_PROX

if TYPE_CHECKING:
    from benchmarks.sites.contender import Contender

CONTENDERS: dict[str, Contender] = {
    "fedavg": FedAvg(),
    "fedprox": FED_PROX,
    "feddf": FedDF(),
    "dense": Dense(),
    "co-boosting": CoBoosting(),
}
