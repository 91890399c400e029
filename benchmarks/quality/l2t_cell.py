"""One cell of `quality l2t`: a target that one method trains on the images of one seed, and its accuracy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load

from benchmarks.quality.cost import Meter
from benchmarks.quality.l2t_inner import keep_inner, lambda_figures
from benchmarks.quality.l2t_methods import borrow
from benchmarks.quality.l2t_plan import BENCH, L2TPlan, Profile, cell_record, lender_path
from benchmarks.quality.natural_images import TARGET_CLASSES, Pictures, moved, standardised, target_pictures
from benchmarks.quality.side_by_side import outcome_of
from benchmarks.quality.transfer_run import TransferJob
from transplant.artifact.digest import derive_seed
from transplant.nets.allocator import keep_freed_memory
from transplant.nets.placement import resolved_device
from transplant.nets.seeded import seeded
from transplant.transfer.borrowing import TrainingConfig
from transplant.transfer.resnet import small_resnet
from transplant.transfer.vgg import vgg9_bn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from benchmarks.records import Record
    from transplant.transfer.tapped_net import TappedNet


@dataclass(frozen=True)
class L2TJob(TransferJob):
    """A cell as a worker is told it.

    Args:
        plan: whose cell it is.
        samples: images a class.
        seed: of images, weights and order.
        method: of `METHODS`.
    """

    plan: L2TPlan
    samples: int
    seed: int
    method: str

    @staticmethod
    def plan_of(fields: dict[str, Any]) -> L2TPlan:
        """Return the plan whose fields these are."""
        return L2TPlan(**(fields | {"profile": Profile(**fields["profile"])}))

    def record(self) -> Record:
        """Return its record, before its value."""
        return cell_record(self.plan, self.samples, self.seed, self.method)

    def sentence(self) -> str:
        """Return a few words for a line of progress."""
        return f"{self.samples} a class, seed {self.seed}, {self.method}"


def work(line: str, threads: int) -> str:
    """Run a cell in this process and return its outcome as JSON."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    job = L2TJob.from_json(line)
    return outcome_of(lambda: _measured(job))


def _measured(job: L2TJob) -> list[Record]:
    """Return what is told of lambda and, last, the accuracy, which says that the cell is finished."""
    plan, device = job.plan, resolved_device("auto")
    sources = tuple(_lender(job.out, plan, lender).to(device) for lender in plan.lenders)
    train, test = target_pictures(job.data_root, job.samples, job.seed, plan.profile.test)
    with Meter() as meter:
        net, lent = _trained(plan, job.method, sources, train, job.seed, device)
    if job.seed == min(plan.seeds):
        name = f"{BENCH}-{plan.name}-{plan.source}-{job.samples}-{job.method}"
        keep_inner(job.out, name, job.method, net, lent, test)
    blank = replace(job.record(), commit=job.commit)
    told = [
        replace(blank, metric=metric, unit="weight", value=figure)
        for metric, figure in lambda_figures(lent).items()
    ]
    measured: dict[str, Any] = {**meter.figures(), "image_count": len(test.labels_B)}
    return [*told, replace(blank, value=accuracy(net, test), **measured)]


def _lender(out: Path, plan: L2TPlan, lender: tuple[int, int]) -> TappedNet:
    net = small_resnet(lender[0], plan.profile.source_classes, torch.Generator().manual_seed(0))
    net.load_state_dict(load(lender_path(out, plan, lender).read_bytes()))
    return net.eval()


def _trained(
    plan: L2TPlan,
    method: str,
    sources: tuple[TappedNet, ...],
    train: Pictures,
    seed: int,
    device: torch.device,
) -> tuple[TappedNet, dict[str, Any] | None]:
    """Return the target after training, and for L2T the pairs with lambda before and after."""
    profile = plan.profile
    generator = torch.Generator().manual_seed(derive_seed("l2t weights", str(seed)))
    target = vgg9_bn(TARGET_CLASSES, generator, profile.width).to(device)
    steps = profile.steps_for(len(train.labels_B))
    config = TrainingConfig(steps, profile.learning_rate)
    example = standardised(train.images_BCHW[:1]).to(device)
    training = borrow(
        method, target, sources, config, example, generator,
        meta_mode=profile.meta_mode, meta_learning_rate=profile.meta_learning_rate,
    )  # fmt: skip
    shown = standardised(train.images_BCHW[:200]).to(device)
    before = training.pair_weights(shown)
    for images, labels in batches(train, steps, profile.batch, seed):
        training.step(images.to(device), labels.to(device))
    lent = None
    if before is not None:
        lent = {"pairs": training.pairs, "before": before, "after": training.pair_weights(shown)}
    return training.finish(), lent


def batches(data: Pictures, steps: int, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield `steps` augmented batches; every image comes once an epoch, the same for every method."""
    count = len(data.labels_B)
    each = max(1, count // batch)
    for step in range(steps):
        epoch, place = divmod(step, each)
        order = torch.randperm(count, generator=seeded(seed, epoch))
        rows = order[place * batch : (place + 1) * batch]
        drawn = moved(data.images_BCHW[rows], seeded(seed, 1_000_000 + step))
        yield standardised(drawn), data.labels_B[rows]


@torch.no_grad()
def accuracy(net: TappedNet, data: Pictures) -> float:
    """Return the accuracy in percent."""
    device = next(net.parameters()).device
    hits = [
        net(standardised(images).to(device)).answers.argmax(1).cpu() == labels
        for images, labels in zip(data.images_BCHW.split(250), data.labels_B.split(250), strict=True)
    ]
    return 100 * float(torch.cat(hits).to(torch.float64).mean())
