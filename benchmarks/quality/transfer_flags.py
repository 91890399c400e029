"""The flags of `transplant-bench quality layer-transfer` and `l2t`, turned into plans and run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.quality import l2t_plan, layer_transfer_plan
from benchmarks.quality.characters import SOURCES
from benchmarks.quality.flags import numbers_of, words_of
from benchmarks.quality.l2t import run_l2t
from benchmarks.quality.layer_transfer import run_layer_transfer
from benchmarks.quality.side_by_side import check_counts
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


def run_transfer(
    bench: str,
    data: str,
    out: Path,
    console: Console,
    *,
    seeds: str,
    samples: str | None,
    methods: str | None,
    retained: str | None,
    steps: int | None,
    profile: str,
    lenders: str,
    workers: int,
    threads: int,
    data_root: Path,
    command: str,
) -> None:
    """Run a transfer bench as its flags say.

    Raises:
        InvalidSettings: naming the flag and what is possible.
    """
    check_counts(workers, threads)
    numbers = numbers_of("--seeds", seeds) or (0,)
    counts = numbers_of("--samples", samples)
    if bench == layer_transfer_plan.BENCH:
        if data not in SOURCES:
            raise InvalidSettings(f"layer-transfer runs on --data {', '.join(SOURCES)}; got {data!r}")
        plan = layer_transfer_plan.LayerTransferPlan(data, trials=numbers, profile=profile, steps=steps)
        if steps is not None:
            plan = replace(plan, source_steps=min(plan.source_steps, 20 * steps))
        if counts:
            plan = replace(plan, samples=counts)
        if retained:
            plan = replace(plan, retained=layer_transfer_plan.retained_of(retained))
        ran = run_layer_transfer(
            plan, out, console, data_root=data_root, workers=workers, threads=threads, command=command
        )
    else:
        if data != "cifar10" or profile not in l2t_plan.PROFILES:
            raise InvalidSettings(
                f"l2t runs on --data cifar10 with --profile {', '.join(l2t_plan.PROFILES)}; got {data!r} and "
                f"{profile!r}"
            )
        sizes = l2t_plan.PROFILES[profile]
        if steps is not None:
            sizes = replace(sizes, steps=steps, source_steps=min(sizes.source_steps, 5 * steps))
        lent = l2t_plan.L2TPlan(sizes, profile, seeds=numbers, depths=l2t_plan.depths_of(lenders, sizes))
        if counts:
            lent = replace(lent, samples=counts)
        lent = replace(lent, methods=words_of("--methods", methods) or lent.methods)
        ran = run_l2t(
            lent, out, console, data_root=data_root, workers=workers, threads=threads, command=command
        )
    console.print(f"{ran} cells run; now: transplant-bench report {out}")
