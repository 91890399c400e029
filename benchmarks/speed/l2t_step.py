"""One step of L2T-ww beside a plain step of the same net on the same batch, and both its meta-gradients.

The target is the paper's (VGG-9-bn, batch 128 of 32 px), the source its ResNet-32, all to all: 15 pairs. Nets
are random, with batch norms that know their images, and a few steps into the training. `l2t_step_cpu` is the
exact step, `l2t_hessian_vector_cpu` the one by differences of gradients; the baseline of both is one SGD
step on the task loss alone. `l2t_matching_step_cpu` is that step with unweighted matching, the cheapest that
borrows.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from rich.table import Table
from torch import Tensor
from torch.nn import functional

from benchmarks.machine import this_machine
from benchmarks.quality.folder import note_cases
from benchmarks.records import Record, RecordBook
from benchmarks.speed.plan import Bar
from benchmarks.speed.stopwatch import in_turns
from benchmarks.speed.variants import Variant
from transplant.nets.allocator import keep_freed_memory
from transplant.nets.optimiser import load_parameters
from transplant.transfer import borrowing, l2t
from transplant.transfer.borrowing import BorrowingProblem, Student, TrainingConfig
from transplant.transfer.feature_matching import FeatureMatching
from transplant.transfer.l2t import L2TConfig, l2t_problem
from transplant.transfer.meta_gradient import MetaMode, meta_gradient
from transplant.transfer.resnet import small_resnet
from transplant.transfer.vgg import vgg9_bn
from transplant.transfer.weighted_matching import MatchingScheme, all_to_all_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import Console

    from benchmarks.speed.stopwatch import Timing
    from transplant.transfer.l2t import L2TProblem, L2TState
    from transplant.transfer.tapped_net import TappedNet

BENCH = "l2t-step"
BARS = {bar.metric: bar for bar in (Bar("l2t_step_cpu", 11.0), Bar("l2t_hessian_vector_cpu", 7.0))}
LEAST_COSINE = 0.95
_CLASSES = 10
_WARM_STEPS = 2


@dataclass(frozen=True)
class Sizes:
    """Of the nets and the batch; the defaults are the paper's."""

    batch: int = 128
    width: int = 64
    source_depth: int = 32


def run_l2t_step(
    out: Path, console: Console, *, repetitions: int, command: str, sizes: Sizes | None = None
) -> list[str]:
    """Measure what `out` has not yet, show it, and return the bars that were missed.

    Args:
        out: folder of the records.
        console: where the table is shown.
        repetitions: of each step, in turns.
        command: what was typed, for the list of runs.
        sizes: other than the paper's.
    """
    sizes = sizes or Sizes()
    book, machine, began_s = RecordBook(out), this_machine(), time.monotonic()
    wanted = [*(_record(metric, sizes) for metric in _METRICS), _record("l2t_meta_cosine", sizes, "cosine")]
    if not all(book.has(record) for record in wanted):
        torch.set_num_threads(1)
        keep_freed_memory()
        bench = _Bench(sizes)
        console.print(f"measuring {wanted[0].method}", highlight=False)
        timings = in_turns(bench.variants(), repetitions)
        for record in _records(timings, sizes, machine.commit):
            book.add(record)
        book.add(replace(wanted[-1], value=bench.cosine(), commit=machine.commit))
        note_cases(out, machine, command, 1, began_s)
    mine = [record for record in book if record.bench == BENCH and record.method == wanted[0].method]
    console.print(_table(mine))
    return [_missed(record) for record in mine if not _cleared(record)]


class _Bench:
    """The nets of the bench, a few steps into their training."""

    def __init__(self, sizes: Sizes) -> None:
        generator = torch.Generator().manual_seed(0)
        self._generator = generator
        self._batch = sizes.batch
        images, labels = self._drawn()
        source = _calibrated(small_resnet(sizes.source_depth, 200, generator), images)
        target = vgg9_bn(_CLASSES, generator, sizes.width)
        shapes, own = source.feature_shapes(images[:1]), target.feature_shapes(images[:1])
        pairs = all_to_all_pairs([shapes], own)
        self._config = L2TConfig(TrainingConfig(steps=1000))
        scheme = MatchingScheme(pairs, channel_weights=True, pair_weights=True)
        self._problem: L2TProblem = l2t_problem(
            target, (source,), scheme, functional.cross_entropy, images[:1], self._config, generator
        )
        self._plain = BorrowingProblem(Student(target), (), functional.cross_entropy)
        matching = Student(target, [FeatureMatching(pairs, shapes, own, generator)])
        self._matching = BorrowingProblem(matching, (source,), functional.cross_entropy)
        self._state: L2TState = l2t.init(self._problem)
        quick = replace(self._config, meta_mode="hessian-vector")
        for _ in range(_WARM_STEPS):
            self._state, _ = l2t.step(self._problem, quick, self._state, *self._drawn())
        self._images, self._labels = images, labels

    def variants(self) -> dict[str, Variant]:
        """Return each step by its name, always from the same state."""
        told = self._images, self._labels
        training, at_rest = self._config.training, borrowing.init(self._plain)
        matched = borrowing.init(self._matching)

        def step(mode: MetaMode) -> object:
            return l2t.step(self._problem, replace(self._config, meta_mode=mode), self._state, *told)[1]

        return {
            "plain": Variant(lambda: borrowing.step(self._plain, training, at_rest, *told)[1]),
            "matching": Variant(lambda: borrowing.step(self._matching, training, matched, *told)[1]),
            "exact": Variant(lambda: step("exact")),
            "hessian-vector": Variant(lambda: step("hessian-vector")),
        }

    def cosine(self) -> float:
        """Return the cosine of both meta-gradients, into the meta nets' weights."""
        problem, training = self._problem, self._state.training
        given = problem.borrowing.given(self._images)
        load_parameters(problem.meta_nets, self._state.meta)
        problem.matching.wanted = problem.matching.projections.wanted(given.features)
        sgd = self._config.training.sgd(training.step)
        ahead = l2t.look_ahead(problem, sgd, 2, training, self._images, self._labels)
        found: list[Tensor] = []
        for mode in ("exact", "hessian-vector"):
            coefficients = problem.meta_nets(given.features)
            into, _ = meta_gradient(mode, ahead, coefficients, training.weights, training.momenta)
            problem.meta_nets.zero_grad(set_to_none=True)
            torch.autograd.backward(coefficients, into)
            gradients = [each.grad for each in problem.meta_nets.parameters() if each.grad is not None]
            found.append(torch.cat([each.flatten() for each in gradients]))
        return float(functional.cosine_similarity(found[0], found[1], dim=0))

    def _drawn(self) -> tuple[Tensor, Tensor]:
        """Return smooth random images and labels."""
        coarse = torch.randn(self._batch, 3, 8, 8, generator=self._generator)
        images = functional.interpolate(coarse, size=(32, 32), mode="bilinear", align_corners=False)
        return images, torch.randint(_CLASSES, (self._batch,), generator=self._generator)


@torch.no_grad()
def _calibrated(net: TappedNet, images: Tensor) -> TappedNet:
    """Let the batch norms of a random net see images: without that its features grow with every block."""
    net.train()
    for _ in range(20):
        net(images[:32])
    return net.eval()


_METRICS = {
    "l2t_step_cpu": "exact",
    "l2t_hessian_vector_cpu": "hessian-vector",
    "l2t_matching_step_cpu": "matching",
}


def _record(metric: str, sizes: Sizes, unit: str = "s") -> Record:
    method = f"resnet{sizes.source_depth} to vgg9 of width {sizes.width}, 15 pairs, batch {sizes.batch}"
    return Record(BENCH, metric, 0.0, unit, arch="vgg9", method=method)


def _records(timings: Mapping[str, Timing], sizes: Sizes, commit: str) -> list[Record]:
    plain = timings["plain"].cpu_seconds
    return [
        replace(
            _record(metric, sizes),
            value=timings[name].cpu_seconds,
            baseline=plain,
            ratio=timings[name].cpu_seconds / plain,
            seconds=timings[name].seconds,
            cpu_seconds=timings[name].cpu_seconds,
            commit=commit,
        )
        for metric, name in _METRICS.items()
    ]


def _cleared(record: Record) -> bool:
    if record.metric == "l2t_meta_cosine":
        return record.value >= LEAST_COSINE
    bar = BARS.get(record.metric)
    return bar is None or bar.cleared_by(record)


def _missed(record: Record) -> str:
    if record.metric == "l2t_meta_cosine":
        return f"{record.metric}: {record.value:.3f}; the bar is >= {LEAST_COSINE}"
    bar = BARS[record.metric].sentence()
    return f"{record.metric}: {record.ratio or 0.0:.2f} x a plain step; the bar is {bar}"


def _table(records: list[Record]) -> Table:
    table = Table()
    for name in ("setting", "metric", "value", "plain step", "ratio", "bar"):
        table.add_column(name)
    for record in records:
        bar = BARS.get(record.metric)
        told = f">= {LEAST_COSINE}" if record.metric == "l2t_meta_cosine" else bar.sentence() if bar else ""
        table.add_row(
            record.method,
            record.metric,
            f"{record.value:.4f}" if record.unit == "cosine" else f"{record.value:.2f} s",
            "" if record.baseline is None else f"{record.baseline:.2f} s",
            "" if record.ratio is None else f"{record.ratio:.2f}",
            told + ("" if _cleared(record) else "  MISSED"),
        )
    return table
