"""Co-Boosting: harder pictures make a better ensemble, and a better ensemble makes harder pictures.

Dai, Zhang, Li, Liu, Yang, Han: Enhancing One-Shot Federated Learning Through Data and Ensemble Co-Boosting,
ICLR 2024 (arXiv 2402.15070). With A_w(x) = sum_i w_i f_i(x), w = 1/m at first, and f_S the student, each
round makes a batch of hard pictures, and each batch of the pool is then made harder, improves w, and teaches
f_S:

    L_H = mean (1 - p_y(x)) CE(A_w(x), y),  p_y the ensemble's probability of y (not differentiated)
    L_A = - KL(A_w(x) || f_S(x))
    L_gen = L_H + beta L_A                                                         hard pictures
    x <- x + eps sign grad_x u^T softmax(A_w(x) / tau),  u ~ U[-1, 1]^K            harder, in any direction
    w <- normalise(max(0, w - mu sign grad_w CE(A_w(x), y)))                       a better ensemble
    L_dis = KL(A_w(x) || f_S(x))                                                   what the student minimises

The numbers are the paper's and its authors' program's (T_G = 30 steps of Adam at 1e-3, beta = 1, eps = 8/255,
mu = 0.1/m times 0.99 each round, from the second round on; SGD at 0.01, momentum 0.9, weight decay 1e-4, a
cosine to zero, temperature 4) but for the batch and the number of rounds, which are the budget's. As in the
program, eps is in units of the nets' standardised input. The program moves w over the pool and then makes the
pool harder; here both happen batch by batch, which costs one pass less and leaves w the harder pictures to
learn from. In L_A it has temperature 3; beside a student that has seen few pictures yet that drowns L_H, and
all pictures become one category's. The equation stands as written, at temperature 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.sites.peers.center_clock import CenterClock
from benchmarks.sites.peers.distillation import Student, divergence
from benchmarks.sites.peers.multi_category_net import answer, answers_to, precision_of
from benchmarks.sites.peers.one_shot import distilled_outcome, local_nets, percent_right
from benchmarks.sites.peers.synthesis import (
    ImagePool,
    Synthesiser,
    SynthesisSettings,
    rounds_within,
    steps_of,
)
from transplant.artifact.digest import derive_seed
from transplant.nets.precision import mixed_precision

if TYPE_CHECKING:
    from benchmarks.sites.contender import Outcome, Progress, Training
    from benchmarks.sites.engine import Engine
    from benchmarks.sites.federation import Federation
    from benchmarks.sites.peers.ensemble import Ensemble
    from transplant.types import Precision

_NOISE = 1e-9  # gradients below are rounding: a sign would make a full step of them


@dataclass(frozen=True)
class CoBoostingSettings:
    """The paper's numbers and its authors' program's."""

    synthesis: SynthesisSettings = field(default_factory=SynthesisSettings)
    adversarial_weight: float = 1.0  # beta
    adversarial_temperature: float = 1.0
    perturbation: float = 8 / 255  # eps, in standard deviations of a colour
    perturbation_temperature: float = 4.0  # tau
    weight_step: float = 0.1  # m mu
    weight_decay_a_round: float = 0.99
    temperature: float = 4.0
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-4
    gradient_norm: float = 10.0


@dataclass(frozen=True)
class CoBoosting:
    """Implements `Contender`."""

    settings: CoBoostingSettings = CoBoostingSettings()

    def __call__(
        self, federation: Federation, training: Training, engine: Engine, progress: Progress
    ) -> Outcome:
        """Train all sites once, then let pictures, ensemble and student improve each other.

        Raises:
            BenchmarkFailed: if no site answers.
        """
        own, precision, clock = self.settings, precision_of(training), CenterClock()
        local = local_nets(federation, training, engine, progress)
        ensemble, net = local.ensemble, local.start
        rounds, loss = rounds_within(training.center_steps), 0.0
        deviation = net.category_module.normalize.std
        seed = derive_seed("co-boosting", str(federation.seed))
        generator = torch.Generator().manual_seed(seed)
        with clock, torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # dropout draws from the global generator
            optimizer = torch.optim.SGD(
                net.parameters(), own.learning_rate, momentum=own.momentum, weight_decay=own.weight_decay
            )
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
                apart = divergence(together, alone, own.adversarial_temperature).mean()
                return hard_loss(together, labels) - own.adversarial_weight * apart

            for number in range(rounds):
                with student.at_rest():
                    pool.add(*synthesiser.make(generator_loss))
                step = own.weight_step / len(ensemble.nets) * own.weight_decay_a_round**number
                for images, labels in pool.one_pass(generator):
                    harder = self.harder(images, ensemble, deviation, precision, generator)
                    with torch.no_grad(), mixed_precision(precision):
                        told_SBK = ensemble.site_logits(harder).to(torch.float32)
                    if number > 0:
                        ensemble.weights_S.copy_(better_weights(ensemble, told_SBK, labels, step))
                    loss = student.learn(harder, ensemble.together(told_SBK))
                progress(f"round {number + 1} of {rounds}: distilled to {loss:.4f}")
        figures = {
            "distilled_loss": loss,
            "least_weight": float(ensemble.weights_S.min()),
            "largest_weight": float(ensemble.weights_S.max()),
            "boosted_ensemble_accuracy": percent_right(
                answers_to(ensemble, federation.test.images), federation
            ),
        }
        ensemble.weights_S.fill_(1 / len(ensemble.nets))  # what the plain ensemble is measured with
        return distilled_outcome(federation, net, ensemble, local.replies, clock.seconds, figures)

    def harder(
        self,
        images_B3HW: Tensor,
        ensemble: Ensemble,
        deviation: Tensor,
        precision: Precision,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the images moved one step of eps along a random direction of the ensemble's answers.

        Args:
            images_B3HW: in [0, 1].
            ensemble: that answers.
            deviation: (1, 3, 1, 1), what the nets divide colours by.
            precision: of the ensemble's forward pass.
            generator: of the direction.
        """
        moved = images_B3HW.detach().clone().requires_grad_(True)
        logits_BK = answer(ensemble, moved, precision)
        direction_BK = 2 * torch.rand(logits_BK.shape, generator=generator) - 1
        answered = (logits_BK / self.settings.perturbation_temperature).softmax(dim=1)
        (gradient,) = torch.autograd.grad((direction_BK * answered).sum(), moved)
        return images_B3HW + self.settings.perturbation * deviation * gradient.sign()


def hard_loss(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """Return L_H: cross-entropy, each picture weighted by how little the ensemble sees its label in it."""
    each_B = functional.cross_entropy(logits_BK, labels_B, reduction="none")
    return ((1 - torch.exp(-each_B.detach())) * each_B).mean()


def better_weights(ensemble: Ensemble, logits_SBK: Tensor, labels_B: Tensor, step: float) -> Tensor:
    """Return the ensemble's weights after one step of signs, none negative, their sum 1.

    Where one site alone knows a category its weight does not matter there, and its gradient is 0.
    """
    weights_S = ensemble.weights_S.clone().requires_grad_(True)
    loss = functional.cross_entropy(ensemble.together(logits_SBK, weights_S), labels_B)
    (gradient_S,) = torch.autograd.grad(loss, weights_S)
    sign_S = torch.where(gradient_S.abs() > _NOISE, gradient_S.sign(), torch.zeros_like(gradient_S))
    moved_S = (ensemble.weights_S - step * sign_S).clamp(min=0)
    total = moved_S.sum()
    return moved_S / total if total > 0 else ensemble.weights_S.clone()
