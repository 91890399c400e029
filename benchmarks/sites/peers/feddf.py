"""FedDF: the average of the sites' nets, distilled from their ensemble on unlabelled public pictures.

Lin, Kong, Stich, Jaggi: Ensemble Distillation for Robust Model Fusion in Federated Learning, NeurIPS 2020
(arXiv 2006.07242), algorithm 1. In each round the center starts from the weighted average, and for N steps,
on mini-batches d of unlabelled pictures,

    x <- x - eta grad KL( softmax( 1/|S| sum_{k in S} f(x_k, d) ) || softmax( f(x, d) ) )

The paper's settings: Adam at 1e-3 with a cosine to zero, temperature 1, up to 10,000 steps that end early by
a labelled validation set at the center. There is no such set here: the steps are the center's budget, all
taken. The ensemble's logits of a picture do not change within a round, so each is computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmarks.sites.peers.averaging import weighted_mean
from benchmarks.sites.peers.center_clock import CenterClock
from benchmarks.sites.peers.distillation import Student
from benchmarks.sites.peers.local_training import LocalPlan, ask_to_train, mean_loss
from benchmarks.sites.peers.multi_category_net import (
    NetShape,
    answers_to,
    precision_of,
    weights_of,
)
from benchmarks.sites.peers.one_shot import distilled_outcome, ensemble_of
from transplant.artifact.digest import derive_seed
from transplant.errors import BenchmarkFailed
from transplant.nets.measures import as_images

if TYPE_CHECKING:
    from benchmarks.sites.contender import Outcome, Progress, Training
    from benchmarks.sites.engine import Engine, SiteReply
    from benchmarks.sites.federation import Federation
    from benchmarks.sites.peers.ensemble import Ensemble
    from benchmarks.sites.peers.multi_category_net import MultiCategoryNet


@dataclass(frozen=True)
class FedDFSettings:
    """The paper's numbers."""

    learning_rate: float = 1e-3
    temperature: float = 1.0
    gradient_norm: float = 10.0  # the paper's nets have normalisation layers; these have none


@dataclass(frozen=True)
class FedDF:
    """Implements `Contender`."""

    settings: FedDFSettings = FedDFSettings()

    def __call__(
        self, federation: Federation, training: Training, engine: Engine, progress: Progress
    ) -> Outcome:
        """Fuse over `training.rounds` rounds, each with its share of the center's steps.

        Raises:
            BenchmarkFailed: if the federation has no unlabelled pictures, or no site ever answers.
        """
        if federation.unlabelled is None or len(federation.unlabelled) == 0:
            raise BenchmarkFailed(
                "FedDF distils on unlabelled public pictures and this federation has none: give it some, or "
                "leave feddf out of --methods"
            )
        shape, clock = NetShape.of(federation, training), CenterClock()
        weights = weights_of(shape.initial(federation.seed))
        steps = max(1, training.center_steps // training.rounds)
        last: tuple[Ensemble, dict[int, SiteReply], float] | None = None
        for number in range(training.rounds):
            plan = LocalPlan.of_round(federation, training, number, training.rounds)
            replies = ask_to_train(federation, engine, weights, plan)
            if not replies:
                continue  # nobody answered: the net stays as it was
            with clock:
                ensemble = ensemble_of(federation, shape, replies)
                net = shape.holding(weighted_mean(replies))
                seed = derive_seed("feddf", str(federation.seed), str(number))
                loss = self.distil(net, ensemble, federation.unlabelled, training, steps, seed)
                weights = weights_of(net)
            last = ensemble, replies, loss
            progress(
                f"round {number + 1} of {training.rounds}: {len(replies)} sites, "
                f"loss {mean_loss(replies):.3f}, distilled to {loss:.4f}"
            )
        if last is None:
            raise BenchmarkFailed("no site answered, so there is nothing to distil: let fewer sites drop out")
        ensemble, replies, loss = last
        return distilled_outcome(
            federation, shape.holding(weights), ensemble, replies, clock.seconds, {"distilled_loss": loss}
        )

    def distil(
        self,
        net: MultiCategoryNet,
        ensemble: Ensemble,
        unlabelled: Tensor,
        training: Training,
        steps: int,
        seed: int,
    ) -> float:
        """Train `net` towards the ensemble on unlabelled uint8 pictures; return the last loss."""
        generator = torch.Generator().manual_seed(seed)
        count = min(len(unlabelled), steps * training.batch_size)
        pictures = unlabelled[torch.randperm(len(unlabelled), generator=generator)[:count]]
        precision = precision_of(training)
        targets = answers_to(ensemble, pictures, precision)
        optimizer = torch.optim.Adam(net.parameters(), self.settings.learning_rate)
        student = Student(
            net, optimizer, steps, self.settings.temperature, precision, self.settings.gradient_norm
        )
        order, loss = torch.empty(0, dtype=torch.int64), 0.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # dropout draws from the global generator
            for _ in range(steps):
                if len(order) < min(training.batch_size, count):
                    order = torch.cat([order, torch.randperm(count, generator=generator)])
                chosen, order = order[: training.batch_size], order[training.batch_size :]
                loss = student.learn(as_images(pictures[chosen]), targets[chosen])
        return loss
