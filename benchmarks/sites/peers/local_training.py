"""Training of a net at a site, as the house trains its teachers, on whatever the site's labels say.

Optimiser, augmentation, schedule, clipping and precision are those of `edge.teach`; the last epoch's weights
count. An epoch's order, augmentation and dropout come from a seed of (site's seed, epoch). Over several
rounds a site goes on along one schedule, so that all rounds together are one training of `local_epochs`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from benchmarks.sites.engine import SiteReply
from benchmarks.sites.patience import ask_until_all
from benchmarks.sites.peers.answers import Answers, labelled_loss
from benchmarks.sites.peers.multi_category_net import NetShape, answer, weights_of
from edge.datasets.site_dataset import SiteDataset, Split
from edge.teach.augment import Augmentation
from edge.teach.recipe import Recipe
from transplant.artifact.digest import derive_seed
from transplant.errors import DatasetInvalid
from transplant.nets.measures import as_images

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.sites.contender import Training
    from benchmarks.sites.engine import Engine, Setting
    from benchmarks.sites.federation import Federation, LocalData

EXAMPLES = "num-examples"
"""The figure that replies are weighted by; Flower's own name for it."""


@dataclass(frozen=True)
class LocalPlan:
    """What a site is told besides the weights.

    Args:
        arch: of the net.
        image_px: the side of its images in pixels.
        categories: K.
        answers: how the net's logits are read.
        first_epoch: how many epochs earlier rounds had.
        epochs: of this round.
        epochs_in_all: of all rounds.
        batch_size: pictures a step.
        learning_rate: at the top of the schedule.
        precision: of forward passes.
        proximal_mu: weight of FedProx's term, mu / 2 ||w - w_t||^2; 0 for none.
        seed: of the run; a site sees its own.
    """

    arch: str
    image_px: int
    categories: int
    answers: str
    first_epoch: int
    epochs: int
    epochs_in_all: int
    batch_size: int
    learning_rate: float
    precision: str
    proximal_mu: float
    seed: int

    @classmethod
    def of_round(
        cls, federation: Federation, training: Training, number: int, rounds: int, proximal_mu: float = 0.0
    ) -> LocalPlan:
        """Return the plan of round `number` (from 0): an equal share of the epochs, at least one."""
        shape = NetShape.of(federation, training)
        in_all = max(training.local_epochs, rounds)
        first = in_all * number // rounds
        return cls(
            arch=shape.arch,
            image_px=shape.image_px,
            categories=shape.categories,
            answers=shape.answers.value,
            first_epoch=first,
            epochs=in_all * (number + 1) // rounds - first,
            epochs_in_all=in_all,
            batch_size=training.batch_size,
            learning_rate=training.learning_rate,
            precision=training.precision,
            proximal_mu=proximal_mu,
            seed=federation.seed,
        )

    @classmethod
    def from_settings(cls, settings: Mapping[str, Setting]) -> LocalPlan:
        """Read a plan from what came with the weights."""
        values: dict[str, Any] = {entry.name: settings[entry.name] for entry in fields(cls)}
        return cls(**values)

    def to_settings(self) -> dict[str, Setting]:
        """Return the plan as it travels."""
        return asdict(self)

    @property
    def shape(self) -> NetShape:
        """Return what the net is built from."""
        return NetShape(self.arch, self.image_px, self.categories, Answers(self.answers))

    @property
    def recipe(self) -> Recipe:
        """Return the house's recipe with this plan's numbers."""
        return Recipe(
            epochs=self.epochs_in_all,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            precision="bfloat16" if self.precision == "bfloat16" else "float32",
            seed=self.seed,
        )


def train_locally(data: LocalData, sent: Mapping[str, Tensor], settings: Mapping[str, Setting]) -> SiteReply:
    """Train the net that was sent on the site's pictures (a `SiteWork`).

    Returns:
        The trained weights, with `num-examples` and the mean `loss` of the last epoch. A site without any
        picture sends back what it got, with 0 examples.

    Raises:
        DatasetInvalid: if training diverges on this site's data.
    """
    plan = LocalPlan.from_settings(settings)
    if len(data) == 0:
        return SiteReply(dict(sent), {EXAMPLES: 0.0, "loss": 0.0})
    net = plan.shape.holding(sent)
    optimizer = torch.optim.SGD(
        net.parameters(),
        plan.learning_rate,
        momentum=0.9,
        weight_decay=plan.recipe.weight_decay,
        nesterov=True,
    )
    anchor = [weight.detach().clone() for weight in net.parameters()]
    loss = 0.0
    for epoch in range(plan.first_epoch, plan.first_epoch + plan.epochs):
        loss = _run_epoch(net, optimizer, data, plan, epoch, anchor)
        if not math.isfinite(loss):
            raise DatasetInvalid(
                f"training diverged in epoch {epoch + 1} (loss is not finite): use a lower learning rate"
            )
    return SiteReply(weights_of(net), {EXAMPLES: float(len(data)), "loss": loss})


def ask_to_train(
    federation: Federation, engine: Engine, weights: Mapping[str, Tensor], plan: LocalPlan
) -> dict[int, SiteReply]:
    """Have every site train in this round; return the replies of those that are there and have pictures."""
    return _with_pictures(
        engine.ask(train_locally, range(len(federation.sites)), weights, plan.to_settings())
    )


def ask_all_to_train(
    federation: Federation, engine: Engine, weights: Mapping[str, Tensor], plan: LocalPlan
) -> dict[int, SiteReply]:
    """Have every site train, whoever is away as soon as it is there; return what `ask_to_train` does."""
    return _with_pictures(
        ask_until_all(engine, train_locally, range(len(federation.sites)), weights, plan.to_settings())
    )


def _with_pictures(replies: Mapping[int, SiteReply]) -> dict[int, SiteReply]:
    return {site: reply for site, reply in replies.items() if reply.figures[EXAMPLES] > 0}


def mean_loss(replies: Mapping[int, SiteReply]) -> float:
    """Return the mean of the sites' losses, each weighted by its pictures; 0 without a reply."""
    pictures = sum(reply.figures[EXAMPLES] for reply in replies.values())
    total = sum(reply.figures[EXAMPLES] * reply.figures["loss"] for reply in replies.values())
    return total / pictures if pictures else 0.0


def _run_epoch(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: LocalData,
    plan: LocalPlan,
    epoch: int,
    anchor: list[Tensor],
) -> float:
    """Run one pass over the data; return the mean loss, the proximal term not counted."""
    recipe, answers = plan.recipe, Answers(plan.answers)
    augmentation = Augmentation.for_data(_as_dataset(data))
    seed = derive_seed("local-epoch", str(plan.seed), str(epoch))
    generator = torch.Generator().manual_seed(seed)
    batches = torch.randperm(len(data), generator=generator).split(recipe.batch_size)
    total = 0.0
    net.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout draws from the global generator
        for number, chosen in enumerate(batches):
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate_at(epoch * len(batches) + number, len(batches))
            images, _ = augmentation.apply(data.images[chosen], None, generator)
            logits = answer(net, as_images(images), recipe.precision)
            loss = labelled_loss(logits, data.labels[chosen], answers)
            total += loss.item() * len(chosen)
            if plan.proximal_mu > 0:
                loss = loss + proximal_term(list(net.parameters()), anchor, plan.proximal_mu)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), recipe.gradient_norm)
            optimizer.step()
    return total / len(data)


def proximal_term(weights: list[nn.Parameter], anchor: list[Tensor], mu: float) -> Tensor:
    """Return mu / 2 ||w - w_t||^2 (Li et al. 2020, equation 2)."""
    squares = [(own - start).square().sum() for own, start in zip(weights, anchor, strict=True)]
    return mu / 2 * torch.stack(squares).sum()


def _as_dataset(data: LocalData) -> SiteDataset:
    """Return the pictures as the house's data of a site, which says what augmentation is harmless."""
    return SiteDataset("all", Split.TRAIN, data.images, (data.labels >= 0).to(torch.uint8), None)
