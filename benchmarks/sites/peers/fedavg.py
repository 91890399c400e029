"""FedAvg: sites train the center's net, the center averages what they send back.

McMahan, Moore, Ramage, Hampson, Aguera y Arcas: Communication-Efficient Learning of Deep Networks from
Decentralized Data, AISTATS 2017 (arXiv 1602.05629), algorithm 1:

    w_{t+1} = sum_k (n_k / n) w_{t+1}^k,    w_{t+1}^k = ClientUpdate(k, w_t)

over the sites that answered. A round that nobody answers leaves the net as it was. With FedProx, the site's
loss gains mu / 2 ||w - w_t||^2 (see `fedprox`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.sites.contender import Outcome, Standing
from benchmarks.sites.peers.answers import scores_of
from benchmarks.sites.peers.averaging import weighted_mean
from benchmarks.sites.peers.center_clock import CenterClock
from benchmarks.sites.peers.local_training import LocalPlan, ask_to_train, mean_loss
from benchmarks.sites.peers.multi_category_net import NetShape, answers_to, net_bytes, weights_of

if TYPE_CHECKING:
    from benchmarks.sites.contender import Progress, Training
    from benchmarks.sites.engine import Engine, SiteReply
    from benchmarks.sites.federation import Federation


@dataclass(frozen=True)
class FedAvg:
    """Implements `Contender`.

    Args:
        proximal_mu: weight of the sites' proximal term; 0 is FedAvg.
    """

    proximal_mu: float = 0.0

    def __call__(
        self, federation: Federation, training: Training, engine: Engine, progress: Progress
    ) -> Outcome:
        """Average over `training.rounds` rounds and score the test pictures with the last net.

        The nets of the rounds before are scored, too, to tell what it takes to be so good: nothing depends
        on it.
        """
        shape, clock = NetShape.of(federation, training), CenterClock()
        weights = weights_of(shape.initial(federation.seed))
        replies: dict[int, SiteReply] = {}
        net, standings = shape.holding(weights), list[Standing]()
        for number in range(training.rounds):
            plan = LocalPlan.of_round(federation, training, number, training.rounds, self.proximal_mu)
            replies = ask_to_train(federation, engine, weights, plan)
            with clock:
                weights = weighted_mean(replies) if replies else weights
            progress(
                f"round {number + 1} of {training.rounds}: {len(replies)} sites, "
                f"loss {mean_loss(replies):.3f}"
            )
            net = shape.holding(weights)
            scores = scores_of(answers_to(net, federation.test.images), shape.answers)
            seconds = engine.site_seconds + clock.seconds
            standings.append(Standing(scores, engine.traffic, seconds))
        return Outcome(
            scores=standings[-1].scores,
            center_seconds=clock.seconds,
            net_bytes=net_bytes(net),
            figures={"local_loss": mean_loss(replies), "answered": float(len(replies))},
            standings=standings,
        )
