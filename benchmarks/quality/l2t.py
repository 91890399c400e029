"""Tables 1 and 2 and figures 3, 5 and 6 of Jang et al. 2019: Tiny ImageNet's net lends to CIFAR-10's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save
from torch.nn import functional

from benchmarks.machine import fast_precision, this_machine
from benchmarks.quality.cost import Meter
from benchmarks.quality.folder import claim_settings
from benchmarks.quality.l2t_cell import L2TJob, accuracy, batches, work
from benchmarks.quality.l2t_methods import METHODS
from benchmarks.quality.l2t_plan import BENCH, L2TPlan, lender_path
from benchmarks.quality.natural_images import source_pictures
from benchmarks.quality.transfer_run import run_unfinished
from benchmarks.records import Record, RecordBook
from transplant.artifact.digest import derive_seed
from transplant.artifact.durable_file import write_durably
from transplant.errors import InvalidSettings
from transplant.nets.allocator import keep_freed_memory
from transplant.nets.placement import resolved_device
from transplant.transfer import borrowing
from transplant.transfer.borrowing import BorrowingProblem, Student, TrainingConfig
from transplant.transfer.resnet import small_resnet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

_TOLD = 10
"""Lines of progress of a net that learns to lend."""


def run_l2t(
    plan: L2TPlan, out: Path, console: Console, *, data_root: Path, workers: int, threads: int, command: str
) -> int:
    """Train the nets that lend, then run every cell that `out` has not yet; return how many were run.

    Args:
        plan: what to run.
        out: folder of the records and the nets that lend.
        console: where progress is shown.
        data_root: folder of the data packs.
        workers: cells side by side.
        threads: computing threads of each.
        command: what was typed, for the list of runs.

    Raises:
        InvalidSettings: for a method or a number that cannot be.
        BenchmarkFailed: if the folder belongs to other settings, or cells failed (all of them named).
    """
    unknown = [method for method in plan.methods if method not in METHODS]
    if unknown:
        raise InvalidSettings(f"l2t takes --methods {', '.join(METHODS)}; got {', '.join(unknown)}")
    torch.set_num_threads(threads)
    keep_freed_memory()
    claim_settings(
        out, f"{BENCH}/cifar10/{plan.name}", {"profile": json.loads(json.dumps(vars(plan.profile)))}
    )
    device = resolved_device("auto")
    if workers > 1 and device.type != "cpu":
        raise InvalidSettings(f"cells on {device} run one after another; got --workers {workers}")
    book, machine = RecordBook(out), this_machine()
    jobs = [
        L2TJob(out.absolute(), data_root.absolute(), machine.commit, plan, samples, seed, method)
        for seed in plan.seeds
        for samples in plan.samples
        for method in plan.methods
    ]

    def lend() -> None:
        for lender in plan.lenders:
            _train_lender(plan, lender, out, book, data_root, console, machine.commit)

    return run_unfinished(
        work, jobs, lend, _said, book, console, machine, workers=workers, threads=threads,
        command=command, bench=BENCH, data="cifar10", seeds=list(plan.seeds),
    )  # fmt: skip


def _said(job: L2TJob, records: Sequence[Record]) -> str:
    return f"{job.sentence()}: {records[-1].value:.2f} % in {records[-1].seconds or 0:.0f} s"


def _train_lender(
    plan: L2TPlan,
    lender: tuple[int, int],
    out: Path,
    book: RecordBook,
    data_root: Path,
    console: Console,
    commit: str,
) -> None:
    """Train a source net, unless it is there, and record its validation accuracy."""
    profile, (depth, number) = plan.profile, lender
    path = lender_path(out, plan, lender)
    if path.is_file():
        return
    generator = torch.Generator().manual_seed(derive_seed("l2t source", str(number)))
    net = small_resnet(depth, profile.source_classes, generator)
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
        told = batches(train, profile.source_steps, profile.source_batch, number)
        for step, (images, labels) in enumerate(told, start=1):
            shown = images.to(device, memory_format=torch.channels_last)
            state, losses = borrowing.step(problem, config, state, shown, labels.to(device))
            if step % max(1, profile.source_steps // _TOLD) == 0:
                console.print(f"step {step} of {profile.source_steps}: loss {losses['loss']:.3f}")
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
