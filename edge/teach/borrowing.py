"""What a teacher borrows from a lender while it is trained: retained layers, or a penalty on what it sees.

`layer` retains the lender's lowest layers, frozen. `fm`, `at` and `lwf` add a penalty to every step; `l2t`
adds one that meta nets steer, and after each step a look-ahead trains these (`transplant.transfer`). The
features that are matched are those before the pools of the category module and of the first task's module.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from edge.teach.losses import classification_loss, segmentation_loss
from transplant.artifact.digest import derive_seed
from transplant.errors import TransferNotPossible
from transplant.nets.optimiser import adam_state, adam_step, load_parameters
from transplant.transfer.attention_transfer import AttentionTransfer
from transplant.transfer.borrowing import Given
from transplant.transfer.feature_matching import FeatureMatching
from transplant.transfer.l2t import WeightedMatching
from transplant.transfer.layer_transfer import retain_layers, weighted_layers
from transplant.transfer.learning_without_forgetting import LearningWithoutForgetting
from transplant.transfer.meta_gradient import LookAhead, meta_gradient
from transplant.transfer.momentum_sgd import MomentumSgd, Named
from transplant.transfer.tapped_net import TappedNet, pool_inputs
from transplant.transfer.weighted_matching import MatchingScheme, MetaNets, all_to_all_pairs
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.teach.lender import Lender
    from transplant.nets.teacher_net import TeacherNet
    from transplant.transfer.tapped_net import Seen

_BETA = 0.5
_META_RATE, _META_DECAY = 1e-3, 1e-4


class Transfer(StrEnum):
    """How a teacher borrows."""

    NONE = "none"
    LAYER = "layer"
    L2T = "l2t"
    AT = "at"
    FM = "fm"
    LWF = "lwf"


@dataclass(frozen=True, eq=False)
class Loan:
    """What a teacher borrows, and from whom.

    Args:
        transfer: how.
        lender: from whom.
        retain: of `layer`, how many of the lender's layers; None leaves it to validation.
    """

    transfer: Transfer
    lender: Lender
    retain: int | None = None

    def described(self) -> dict[str, Any]:
        """Return what decides about a training, as JSON values."""
        return {
            "transfer": self.transfer.value,
            "lender": list(self.lender.digests),
            "retain": self.retain,
        }


def first_route(net: TeacherNet) -> tuple[Task, nn.Sequential]:
    """Return the task whose layers borrow, classification where it is taught, and f with its task module."""
    name = next(task.value for task in Task if task.value in net.task_modules)
    return Task(name), nn.Sequential(net.category_module, net.task_modules[name])


def retain_from(loan: Loan, net: TeacherNet, retained: int) -> None:
    """Copy the lender's lowest layers into a teacher and freeze them.

    Raises:
        TransferNotPossible: if so many layers do not fit, or nothing would be left to train.
    """
    own = weighted_layers(first_route(net)[1])
    if retained >= len(own):
        raise TransferNotPossible(
            f"--retain {retained}: this teacher has {len(own)} layers and at least one must be trained"
        )
    retain_layers(loan.lender.chain, own, retained)


def fitting_layers(loan: Loan, net: TeacherNet) -> int:
    """Return how many of the lender's layers fit a teacher, from the lowest up.

    Raises:
        TransferNotPossible: if not even the first does.
    """
    own = weighted_layers(first_route(net)[1])
    fitting = 0
    for theirs, mine in zip(loan.lender.chain, own[:-1], strict=False):
        shapes = [[tuple(weight.shape) for weight in layer.parameters()] for layer in (theirs, mine)]
        if shapes[0] != shapes[1]:
            break
        fitting += 1
    if not fitting:
        raise TransferNotPossible(
            f"not even the first layer of {loan.lender.name} fits this teacher: take --transfer l2t, at "
            "or fm, which match features of any shape, or an --arch like the lender's"
        )
    return fitting


class Borrowed:
    """The penalty of one training, with the weights that it needs beside the teacher's.

    Args:
        loan: what is borrowed; not `layer`.
        net: the teacher.
        image_px: side of its images.
        seed: of the added weights.

    Raises:
        TransferNotPossible: if the lender does not take such images, or does not give what is asked.
    """

    def __init__(self, loan: Loan, net: TeacherNet, image_px: int, seed: int) -> None:
        self._loan = loan
        self._task, route = first_route(net)
        self._route = TappedNet(route, pool_inputs(route))
        generator = torch.Generator().manual_seed(derive_seed("borrowed", str(seed)))
        example = torch.zeros(1, 3, image_px, image_px)
        try:
            given = self._given(example)
        except RuntimeError as error:
            raise TransferNotPossible(
                f"{loan.lender.name} does not take images of {image_px} px ({error}): choose a lender "
                "that was trained at this size, or --image-px"
            ) from error
        source = [(each.shape[1], each.shape[2], each.shape[3]) for each in given.features]
        own = self._route.feature_shapes(example)
        pairs = all_to_all_pairs([source], own)
        self._meta: Named = {}
        self._meta_steps = 0
        if loan.transfer is Transfer.L2T:
            scheme = MatchingScheme(pairs, channel_weights=True, pair_weights=True)
            self._meta_nets = MetaNets(scheme, source)
            self._meta = adam_state(self._meta_nets)
            self._penalty: nn.Module = WeightedMatching(scheme, source, own, generator, _BETA)
        elif loan.transfer is Transfer.FM:
            self._penalty = FeatureMatching(pairs, source, own, generator, _BETA)
        elif loan.transfer is Transfer.AT:
            self._penalty = AttentionTransfer(pairs)
        else:
            answers = given.answers[0]
            if not loan.lender.answers or answers.ndim != 2:
                raise TransferNotPossible(
                    f"{loan.lender.name} gives features and no class answers: --transfer lwf needs a "
                    "classification module, a category of the catalog or a public net; take l2t, at or fm"
                )
            if loan.lender.image_px not in (None, image_px):
                raise TransferNotPossible(
                    f"{loan.lender.name} answers about images of {loan.lender.image_px} px, not about "
                    f"images of {image_px} px: take l2t, at or fm, or --image-px {loan.lender.image_px}"
                )
            self._penalty = LearningWithoutForgetting([answers.shape[1]], own[-1][0], generator)

    def parameters(self) -> list[nn.Parameter]:
        """Return the weights that are trained with the teacher's."""
        return list(self._penalty.parameters())

    def penalty(self, images_BCHW: Tensor) -> Tensor:
        """Return what is added to the loss of a batch of images in [0, 1]."""
        given = self._given(images_BCHW)
        if isinstance(self._penalty, WeightedMatching):
            load_parameters(self._meta_nets, self._meta)
            self._penalty.wanted = self._penalty.projections.wanted(given.features)
            self._penalty.coefficients = [each.detach() for each in self._meta_nets(given.features)]
            self._features = given.features
        return self._penalty(given, self._route(images_BCHW))

    def after_step(
        self,
        images_BCHW: Tensor,
        targets: Tensor,
        weight_of_positives: float,
        optimizer: torch.optim.Optimizer,
        seed: int,
    ) -> None:
        """Train the meta nets of `l2t` by a look-ahead from where the step ended; others have none.

        Args:
            images_BCHW: the batch of the last `penalty`.
            targets: labels or masks, of the first task.
            weight_of_positives: of the classification loss.
            optimizer: holds the learning rate and the momenta.
            seed: of the look-ahead's dropout, one for all of its passes.
        """
        if not isinstance(self._penalty, WeightedMatching):
            return
        projections, wanted = self._penalty.projections, self._penalty.wanted
        parameters = {f"route.{name}": weight for name, weight in self._route.named_parameters()}
        parameters |= {f"projections.{name}": weight for name, weight in projections.named_parameters()}

        def seen(weights: Named) -> Seen:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return functional_call(self._route, _below("route.", weights), (images_BCHW,))

        def errors(weights: Named) -> list[Tensor]:
            features = seen(weights).features
            return functional_call(projections, _below("projections.", weights), (wanted, features))

        def task_loss(weights: Named) -> Tensor:
            answers = seen(weights).answers
            if self._task is Task.CLASSIFICATION:
                return classification_loss(answers, targets, weight_of_positives)
            return segmentation_loss(answers, targets)

        group = optimizer.param_groups[0]
        sgd = MomentumSgd(group["lr"], 0.9, group["weight_decay"])
        weights = {name: weight.detach() for name, weight in parameters.items()}
        momenta = {
            name: optimizer.state[weight].get("momentum_buffer", torch.zeros_like(weight))
            for name, weight in parameters.items()
        }
        coefficients = self._meta_nets(self._features)
        ahead = LookAhead(errors, task_loss, sgd)
        found, _ = meta_gradient("hessian-vector", ahead, coefficients, weights, momenta)
        self._meta_nets.zero_grad(set_to_none=True)
        torch.autograd.backward(coefficients, found)
        self._meta = adam_step(self._meta_nets, self._meta, self._meta_steps, _META_RATE, _META_DECAY)
        self._meta_steps += 1

    def tensors(self) -> Named:
        """Return everything that the next step depends on besides the optimiser's state."""
        kept = {f"penalty.{name}": weight.detach() for name, weight in self._penalty.named_parameters()}
        if self._meta:
            kept |= {f"meta.{name}": tensor for name, tensor in self._meta.items()}
            kept["meta_steps"] = torch.tensor(self._meta_steps)
        return kept

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `tensors` gave."""
        for name, weight in self._penalty.named_parameters():
            weight.copy_(tensors[f"penalty.{name}"])
        self._meta = {name: tensors[f"meta.{name}"] for name in self._meta}
        self._meta_steps = int(tensors["meta_steps"]) if self._meta else 0

    @torch.no_grad()
    def _given(self, images_BCHW: Tensor) -> Given:
        seen: Seen = self._loan.lender.net(images_BCHW)
        return Given(seen.features, (seen.answers,))


def _below(prefix: str, tensors: Named) -> Named:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
