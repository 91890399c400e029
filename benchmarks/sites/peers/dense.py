"""DENSE: a generator trained against the sites' ensemble makes the pictures that the student is distilled on.

Zhang, Chen, Li, Lyu, Wu, Ding, Shen, Wu: DENSE: Data-Free One-Shot Federated Learning, NeurIPS 2022 (arXiv
2112.12371). With D(x) the mean of the sites' logits, f_S the student, x = G(z) and labels y drawn at random,

    L_CE  = CE(D(x), y)                                               similar to the sites' pictures
    L_BN  = see `batch_statistics`                                    stable
    L_div = - omega KL(D(x) || f_S(x)), omega = [argmax D(x) != argmax f_S(x)]   on the boundary between both
    L_gen = L_CE + lambda_1 L_BN + lambda_2 L_div
    L_dis = KL(D(x) || f_S(x))                                        what the student minimises

The VGGs here have no batch normalisation, so of them L_BN is 0; of nets that have it, it counts. The numbers
are the paper's (T_G = 30 steps of Adam at 1e-3, lambda_1 = 1, lambda_2 = 0.5, the student by SGD at 0.01 with
momentum 0.9) but for the batch and the number of rounds, which are the budget's. What the paper leaves open
is as in Co-Boosting's comparison with it: temperature 4 in the distillation, a cosine to zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.sites.peers.batch_statistics import BatchStatistics
from benchmarks.sites.peers.center_clock import CenterClock
from benchmarks.sites.peers.distillation import Student, divergence
from benchmarks.sites.peers.multi_category_net import answer, precision_of
from benchmarks.sites.peers.one_shot import distilled_outcome, local_nets
from benchmarks.sites.peers.synthesis import (
    ImagePool,
    Synthesiser,
    SynthesisSettings,
    rounds_within,
    steps_of,
)
from transplant.artifact.digest import derive_seed

if TYPE_CHECKING:
    from benchmarks.sites.contender import Outcome, Progress, Training
    from benchmarks.sites.engine import Engine
    from benchmarks.sites.federation import Federation


@dataclass(frozen=True)
class DenseSettings:
    """The paper's numbers."""

    synthesis: SynthesisSettings = field(default_factory=SynthesisSettings)
    statistics_weight: float = 1.0  # lambda_1
    divergence_weight: float = 0.5  # lambda_2
    temperature: float = 4.0
    learning_rate: float = 0.01
    momentum: float = 0.9
    gradient_norm: float = 10.0


@dataclass(frozen=True)
class Dense:
    """Implements `Contender`."""

    settings: DenseSettings = DenseSettings()

    def __call__(
        self, federation: Federation, training: Training, engine: Engine, progress: Progress
    ) -> Outcome:
        """Train all sites once, then alternate between generator and student.

        Raises:
            BenchmarkFailed: if no site answers.
        """
        own, precision, clock = self.settings, precision_of(training), CenterClock()
        local = local_nets(federation, training, engine, progress)
        ensemble, net = local.ensemble, local.start
        rounds, loss = rounds_within(training.center_steps), 0.0
        seed = derive_seed("dense", str(federation.seed))
        generator = torch.Generator().manual_seed(seed)
        with clock, torch.random.fork_rng(devices=[]), BatchStatistics(list(ensemble.nets)) as statistics:
            torch.manual_seed(seed)  # dropout draws from the global generator
            optimizer = torch.optim.SGD(net.parameters(), own.learning_rate, momentum=own.momentum)
            student = Student(net, optimizer, steps_of(rounds), own.temperature, precision, own.gradient_norm)
            synthesiser = Synthesiser(
                own.synthesis,
                federation.image_px,
                training.batch_size,
                ensemble.covered,
                generator,
                precision,
            )
            pool = ImagePool()

            def generator_loss(images: Tensor, labels: Tensor) -> Tensor:
                together, alone = answer(ensemble, images, precision), answer(net, images, precision)
                similar, apart = functional.cross_entropy(together, labels), boundary_loss(together, alone)
                return similar + own.statistics_weight * statistics.distance() + own.divergence_weight * apart

            for number in range(rounds):
                with student.at_rest():
                    pool.add(*synthesiser.make(generator_loss))
                for images, _ in pool.one_pass(generator):
                    with torch.no_grad():
                        target = answer(ensemble, images, precision)
                    statistics.distance()  # the generator's own batches alone count
                    loss = student.learn(images, target)
                progress(f"round {number + 1} of {rounds}: distilled to {loss:.4f}")
        return distilled_outcome(
            federation, net, ensemble, local.replies, clock.seconds, {"distilled_loss": loss}
        )


def boundary_loss(target_BK: Tensor, student_BK: Tensor) -> Tensor:
    """Return L_div: the more they differ on pictures that they call differently, the lower."""
    differ = target_BK.argmax(dim=1) != student_BK.argmax(dim=1)
    return -(divergence(target_BK, student_BK) * differ).mean()
