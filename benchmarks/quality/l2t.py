"""Tables 1 and 2 and figures 3, 5 and 6 of Jang et al. 2019: Tiny ImageNet's net lends to CIFAR-10's.

Two profiles. `paper`: ResNet-32 on 200 classes, VGG-9-bn of full width, batch 128, 200 epochs, exact
meta-gradients; for a GPU. `cpu`: ResNet-20, which learns in bfloat16 where the processor computes in it,
VGG-9-bn of a quarter of the width, batch 64, a fixed number of steps, meta-gradients by Hessian-vector
products, a ten times larger meta learning rate for the fewer steps; minutes a training. Methods differ in
nothing but what they borrow.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load, save
from torch.nn import functional

from benchmarks.machine import fast_precision, this_machine
from benchmarks.quality.cost import Meter
from benchmarks.quality.folder import claim_settings, note_run
from benchmarks.quality.l2t_inner import keep_inner, lambda_figures
from benchmarks.quality.l2t_methods import METHODS, borrow
from benchmarks.quality.natural_images import (
    TARGET_CLASSES,
    Pictures,
    moved,
    source_pictures,
    standardised,
    target_pictures,
)
from benchmarks.records import Record, RecordBook
from transplant.artifact.digest import derive_seed
from transplant.artifact.durable_file import write_durably
from transplant.errors import InvalidSettings
from transplant.nets.allocator import keep_freed_memory
from transplant.nets.placement import resolved_device
from transplant.nets.seeded import seeded
from transplant.transfer import borrowing
from transplant.transfer.borrowing import BorrowingProblem, Student, TrainingConfig
from transplant.transfer.resnet import small_resnet
from transplant.transfer.vgg import vgg9_bn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console
    from torch import Tensor

    from transplant.transfer.meta_gradient import MetaMode
    from transplant.transfer.tapped_net import TappedNet

BENCH = "l2t"
SAMPLES = (50, 250)
_NAMED = re.compile(r"resnet[0-9]{1,3}")


@dataclass(frozen=True)
class Profile:
    """The sizes of a run; `epochs` or `steps` says how long a target is trained."""

    source_depth: int
    source_classes: int
    source_steps: int
    source_batch: int
    width: int
    batch: int
    steps: int | None
    epochs: int
    learning_rate: float
    meta_learning_rate: float
    meta_mode: MetaMode
    test: int

    def steps_for(self, images: int) -> int:
        """Return how many updates a target trained on so many images gets."""
        return self.steps or self.epochs * max(1, images // self.batch)


PROFILES = {
    "cpu": Profile(20, 200, 4000, 64, 16, 64, 300, 0, 0.05, 1e-3, "hessian-vector", 2000),
    "paper": Profile(32, 200, 31_200, 128, 64, 128, None, 200, 0.1, 1e-4, "exact", 10_000),
}


@dataclass(frozen=True)
class L2TPlan:
    """The resolved flags of a run.

    Args:
        profile: its sizes.
        name: of the profile.
        seeds: of target images, weights and order.
        samples: images a class; 5,000 are all.
        methods: of `METHODS`.
        depths: of the ResNets that lend at once (table 2); empty: the profile's alone.
    """

    profile: Profile
    name: str
    seeds: tuple[int, ...] = (0, 1, 2)
    samples: tuple[int, ...] = SAMPLES
    methods: tuple[str, ...] = tuple(METHODS)
    depths: tuple[int, ...] = ()

    @property
    def lenders(self) -> tuple[tuple[int, int], ...]:
        """Return depth and number of each net that lends; nets of one depth differ in their numbers."""
        depths = self.depths or (self.profile.source_depth,)
        return tuple((depth, depths[:place].count(depth)) for place, depth in enumerate(depths))

    @property
    def source(self) -> str:
        """Return the nets that lend, for a record."""
        return "+".join(f"resnet{depth}" for depth, _ in self.lenders)


def depths_of(text: str, profile: Profile) -> tuple[int, ...]:
    """Return `--lenders` as depths: "1" and "2" are so many of the profile's ResNet, else names by comma.

    Raises:
        InvalidSettings: naming what is possible.
    """
    if text in ("1", "2"):
        return (profile.source_depth,) * int(text)
    depths = [int(word.removeprefix("resnet")) for word in text.split(",") if _NAMED.fullmatch(word)]
    if len(depths) < len(text.split(",")) or any(depth < 8 or depth % 6 != 2 for depth in depths):
        raise InvalidSettings(
            f"--lenders takes 1, 2 or ResNets of Tiny ImageNet by comma, of depths 8, 14, 20, 26, 32 ..., as "
            f"in resnet32,resnet20; got {text!r}"
        )
    return tuple(depths)


def run_l2t(plan: L2TPlan, out: Path, console: Console, *, data_root: Path, command: str) -> int:
    """Run every cell that `out` has not yet; return how many were run.

    Raises:
        InvalidSettings: for a method or a number that cannot be.
        BenchmarkFailed: if the folder belongs to other settings.
    """
    unknown = [method for method in plan.methods if method not in METHODS]
    if unknown:
        raise InvalidSettings(f"l2t takes --methods {', '.join(METHODS)}; got {', '.join(unknown)}")
    keep_freed_memory()
    claim_settings(
        out, f"{BENCH}/cifar10/{plan.name}", {"profile": json.loads(json.dumps(vars(plan.profile)))}
    )
    book, machine, device = RecordBook(out), this_machine(), resolved_device("auto")
    began_s, ran = time.monotonic(), 0
    sources: tuple[TappedNet, ...] = ()
    for seed in plan.seeds:
        for samples in plan.samples:
            train, test = target_pictures(data_root, samples, seed, plan.profile.test)
            for method in plan.methods:
                cell = _record(plan, samples, seed, method)
                if book.has(cell):
                    continue
                if not sources:
                    sources = tuple(
                        _source(plan, lender, out, book, data_root, console, machine.commit).to(device)
                        for lender in plan.lenders
                    )
                with Meter() as meter:
                    net, lent = _trained(plan, method, sources, train, seed, device)
                if seed == min(plan.seeds):
                    name = f"{BENCH}-{plan.name}-{plan.source}-{samples}-{method}"
                    keep_inner(out, name, method, net, lent, test)
                value = accuracy(net, test)
                measured: dict[str, Any] = {**meter.figures(), "commit": machine.commit}
                for metric, figure in lambda_figures(lent).items():
                    told = replace(cell, metric=metric, unit="weight", value=figure, commit=machine.commit)
                    book.add(told)  # the accuracy, which comes last, says that the cell is finished
                book.add(replace(cell, value=value, image_count=len(test.labels_B), **measured))
                ran += 1
                console.print(
                    f"[{time.monotonic() - began_s:7.1f} s] {samples} a class, seed {seed}, {method}: "
                    f"{value:.2f} % in {meter.seconds:.0f} s",
                    markup=False,
                    highlight=False,
                )
    if ran:
        note_run(
            out, command=command, machine=machine.sentence(), bench=BENCH, data="cifar10",
            seeds=list(plan.seeds), cells=ran, workers=1, threads=torch.get_num_threads(),
            seconds=round(time.monotonic() - began_s, 1),
        )  # fmt: skip
    return ran


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


def _source(
    plan: L2TPlan,
    lender: tuple[int, int],
    out: Path,
    book: RecordBook,
    data_root: Path,
    console: Console,
    commit: str,
) -> TappedNet:
    """Return a source net: read back, or trained and recorded with its validation accuracy."""
    profile, (depth, number) = plan.profile, lender
    path = out / "teachers" / f"resnet{depth}-{plan.name}-{number}.safetensors"
    generator = torch.Generator().manual_seed(derive_seed("l2t source", str(number)))
    net = small_resnet(depth, profile.source_classes, generator)
    if path.is_file():
        net.load_state_dict(load(path.read_bytes()))
        return net.eval()
    train, held = source_pictures(data_root, profile.source_classes)
    console.print(
        f"training resnet{depth} {number}: {profile.source_steps} steps on {len(train.labels_B)} images",
        highlight=False,
    )
    device, faster = resolved_device("auto"), fast_precision() == "bfloat16"
    net = net.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - absent from the stubs
    problem = BorrowingProblem(Student(net), (), functional.cross_entropy)
    state, config = borrowing.init(problem), TrainingConfig(profile.source_steps)
    with Meter() as meter, torch.autocast(device.type, torch.bfloat16, enabled=faster):
        for images, labels in batches(train, profile.source_steps, profile.source_batch, number):
            shown = images.to(device, memory_format=torch.channels_last)
            state, _ = borrowing.step(problem, config, state, shown, labels.to(device))
    learned = borrowing.finish(problem, state)
    measured: dict[str, Any] = {**meter.figures(), "commit": commit}
    book.add(
        Record(
            BENCH, "accuracy", accuracy(learned, held), "percent", data="tinyimagenet32", arch=plan.name,
            method="source", seed=number, source=f"resnet{depth}", image_count=len(held.labels_B), **measured,
        )
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, save({name: each.cpu().contiguous() for name, each in learned.state_dict().items()}))
    return learned


def _record(plan: L2TPlan, samples: int, seed: int, method: str) -> Record:
    return Record(
        BENCH, "accuracy", 0.0, "percent", data="cifar10", arch=f"vgg9-{plan.name}", method=method,
        samples=samples, seed=seed, source=plan.source,
    )  # fmt: skip
