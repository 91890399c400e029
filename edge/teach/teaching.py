"""Teaching as a triple: `begin`, `run_epoch`, `taught_net`, with explicit state.

An epoch is a function of the state, the data and the recipe alone: its order, augmentation and dropout
come from a seed of (recipe, epoch), never from a generator that runs on. So a training that was killed
and resumed ends with the very weights of one that was not (on one machine, with one number of threads).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edge.datasets.site_dataset import VOID
from edge.teach.augment import Augmentation
from edge.teach.borrowing import Borrowed, Loan, Transfer, retain_from
from edge.teach.losses import joint_loss, positive_weight
from transplant.artifact.digest import derive_seed
from transplant.errors import InvalidSettings
from transplant.nets.architecture_table import image_px
from transplant.nets.measures import as_images, measure
from transplant.nets.placement import CPU, beside, device_of, net_to_device
from transplant.nets.precision import mixed_precision
from transplant.nets.task_module import ClassificationModule, SegmentationModule
from transplant.nets.teacher_net import TeacherNet, load_pretrained_vgg16
from transplant.types import Architecture, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.datasets.site_dataset import SiteDataset
    from edge.teach.recipe import Recipe


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch gave: mean training loss, and validation figures in percent."""

    epoch: int
    loss: float
    score: float
    figures: dict[str, dict[str, float]]


@dataclass
class TeachingState:
    """Everything that the next epoch depends on, and the best weights so far."""

    net: TeacherNet
    optimizer: torch.optim.Optimizer
    history: list[EpochRecord] = field(default_factory=list[EpochRecord])
    best_weights: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    borrowed: Borrowed | None = None

    @property
    def best(self) -> EpochRecord | None:
        """Return the epoch whose weights are `best_weights` (the earliest where scores are equal)."""
        return max(self.history, key=lambda record: record.score, default=None)

    def finished(self, recipe: Recipe) -> bool:
        """Say whether training ends here: all epochs done, or none better for `patience` of them."""
        if len(self.history) >= recipe.epochs:
            return True
        return self.best is not None and len(self.history) - 1 - self.best.epoch >= recipe.patience


def begin(
    architecture: Architecture,
    tasks: tuple[Task, ...],
    recipe: Recipe,
    loan: Loan | None = None,
    device: torch.device = CPU,
) -> TeachingState:
    """Return the state before the first epoch.

    Args:
        architecture: of the net.
        tasks: that it is taught.
        recipe: the settings.
        loan: what it borrows; a loan of layers says how many.
        device: what it is trained on; starts are drawn on the CPU, and what is penalised is computed there.

    Raises:
        InvalidSettings: if a penalty is to be computed anywhere else.
        TransferNotPossible: if the lender's layers or features do not fit.
        UnknownArchitecture: if the architecture is not in the table, or has no pretrained weights.
    """
    net = TeacherNet(architecture, tasks)
    net.initialise(derive_seed("teacher", str(recipe.seed)))
    if recipe.pretrained:
        load_pretrained_vgg16(net)
    net = net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - absent from the stubs
    borrowed = None
    if loan is not None and loan.transfer is Transfer.LAYER:
        retain_from(loan, net, loan.retain or 0)
    elif loan is not None:
        if device != CPU:
            raise InvalidSettings(
                f"--transfer {loan.transfer} is computed on the CPU: take --device cpu, or --transfer layer"
            )
        borrowed = Borrowed(loan, net, image_px(architecture), recipe.seed)
    net = net_to_device(net, device)
    added = [] if borrowed is None else borrowed.parameters()
    trained = [weight for weight in net.parameters() if weight.requires_grad]
    return TeachingState(net, _optimizer([*trained, *added], recipe), borrowed=borrowed)


def run_epoch(
    state: TeachingState,
    train: SiteDataset,
    validation: SiteDataset,
    recipe: Recipe,
    on_batch: Callable[[int, int], None] = lambda _done, _of: None,
) -> EpochRecord:
    """Train one pass over `train`, measure on `validation`, and record it in `state`.

    Args:
        state: changed in place.
        train: what to learn from.
        validation: what to choose the best epoch by.
        recipe: the settings.
        on_batch: told (batches done, batches of this epoch) after every step.
    """
    epoch = len(state.history)
    if epoch == recipe.sibling_epoch and all(
        weight.requires_grad for weight in state.net.task_modules.parameters()
    ):
        start_from_sibling(state.net)  # not over layers that were retained
    seed = derive_seed("epoch", str(recipe.seed), str(epoch))
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout draws from the global generator
        loss = _train(state, train, recipe, epoch, generator, on_batch)
    with mixed_precision(recipe.precision, device_of(state.net)):  # epochs are only compared with each other
        figures = {task.value: figures for task, figures in measured(state.net, validation).items()}
    record = EpochRecord(epoch, loss, score_of(figures), figures)
    previous = state.best
    state.history.append(record)
    if previous is None or record.score > previous.score:
        state.best_weights = {name: value.detach().clone() for name, value in state.net.state_dict().items()}
    return record


def taught_net(state: TeachingState) -> TeacherNet:
    """Return the net with the weights of the best epoch, in evaluation mode, on the CPU."""
    state.net.load_state_dict(state.best_weights)
    return net_to_device(state.net, CPU).eval()


def measured(net: TeacherNet, data: SiteDataset) -> dict[Task, dict[str, float]]:
    """Measure every task of the net on one split, in percent."""
    net.eval()
    return {
        task: measure(net.route(task), data.batches(task), task)
        for task in (Task(name) for name in net.task_modules)
    }


def score_of(figures: dict[str, dict[str, float]]) -> float:
    """Return what epochs are compared by: accuracy and IoU, averaged over the tasks."""
    parts = [values["iou"] if "iou" in values else 100 - values["error"] for values in figures.values()]
    return sum(parts) / len(parts)


@torch.no_grad()
def start_from_sibling(net: TeacherNet) -> None:
    """Copy the trunk of the segmentation module into the classification module's.

    One bit a picture teaches a classifier next to nothing until its features are good, and the loss
    stays at chance for many epochs; thousands of bits a mask teach the sibling at once. From its trunk
    the classifier leaves chance within an epoch. Nets without both tasks are left as they are.
    """
    if not {Task.SEGMENTATION.value, Task.CLASSIFICATION.value} <= set(net.task_modules):
        return
    source, target = net.task_modules[Task.SEGMENTATION.value], net.task_modules[Task.CLASSIFICATION.value]
    if not isinstance(source, SegmentationModule) or not isinstance(target, ClassificationModule):
        return
    trunk = [layer for layer in source.stages.modules() if isinstance(layer, nn.Conv2d)]
    chain = [layer for layer in target.layers if isinstance(layer, nn.Conv2d)]
    for theirs, own in zip(trunk, chain, strict=False):  # the chain goes on with its head
        own.load_state_dict(theirs.state_dict())


def _train(
    state: TeachingState,
    train: SiteDataset,
    recipe: Recipe,
    epoch: int,
    generator: torch.Generator,
    on_batch: Callable[[int, int], None],
) -> float:
    net, optimizer = state.net.train(), state.optimizer
    augmentation = Augmentation.for_data(train)
    weight = positive_weight(train.labels)
    masks = train.masks if Task.SEGMENTATION.value in net.task_modules else None
    mixed = mixed_precision(recipe.precision, device_of(net))
    batches = torch.randperm(len(train), generator=generator).split(recipe.batch_size)
    total = 0.0
    for number, chosen in enumerate(batches):
        rate = recipe.learning_rate_at(epoch * len(batches) + number, len(batches))
        for group in optimizer.param_groups:
            group["lr"] = rate
        images, targets = augmentation.apply(
            train.images[chosen], None if masks is None else masks[chosen], generator
        )
        shown, labels = as_images(beside(images, net)), beside(train.labels[chosen], net)
        with mixed:
            logits, told = _logits(net, shown, None if targets is None else beside(targets, net))
        loss = joint_loss(
            {task: value.to(torch.float32) for task, value in logits.items()},
            labels,
            told,
            weight,
        )
        if state.borrowed is not None:
            loss = loss + state.borrowed.penalty(shown)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), recipe.gradient_norm)
        optimizer.step()
        if state.borrowed is not None:
            asked = train.labels[chosen] if Task.CLASSIFICATION.value in net.task_modules else targets
            if asked is not None:
                dropout = derive_seed("look-ahead", str(recipe.seed), str(epoch), str(number))
                state.borrowed.after_step(shown, asked, weight, optimizer, dropout)
        total += loss.item() * len(chosen)
        on_batch(number + 1, len(batches))
    return total / len(train) if math.isfinite(total) else math.inf


def _logits(
    net: TeacherNet, images_BCHW: Tensor, masks_BHW: Tensor | None
) -> tuple[dict[Task, Tensor], Tensor | None]:
    """Run f once and every task module on the samples that can teach it; return their masks, too."""
    features = net.category_module(images_BCHW)
    told = masks_BHW
    logits: dict[Task, Tensor] = {}
    for name, task_module in net.task_modules.items():
        task = Task(name)
        if task is Task.SEGMENTATION and masks_BHW is not None:
            rows = (masks_BHW != VOID).flatten(1).any(dim=1)
            told = masks_BHW[rows]
            if len(told):
                logits[task] = task_module(features[rows])
        else:
            logits[task] = task_module(features)
    return logits, told


def _optimizer(weights: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(weights, recipe.learning_rate, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        weights, recipe.learning_rate, momentum=0.9, weight_decay=recipe.weight_decay, nesterov=True
    )
