"""`transplant-bench speed`: what things cost, each beside a baseline that is measured in the same run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from benchmarks.data_root import data_root_of
from benchmarks.machine import fast_precision, this_machine
from transplant.errors import BenchmarkFailed, InvalidSettings
from transplant.types import Task

if TYPE_CHECKING:
    from collections.abc import Sequence


def speed(
    bench: Annotated[
        str,
        typer.Argument(
            help="pseudo-gradient, closed-form, vgg16-merge, transport, encodings, serve, serve-budget, "
            "hot-switch, growth, planner, l2t-step, shipping, images or vgg16-path"
        ),
    ],
    out: Annotated[Path, typer.Option(help="folder of the records; finished cases are not run again")],
    tasks: Annotated[str, typer.Option(help="of the task modules, by comma")] = "classification,segmentation",
    arch: Annotated[str | None, typer.Option(help="vgg_small or vgg16 alone (both, where both run)")] = None,
    repetitions: Annotated[int, typer.Option(min=1, help="of each variant, in turns; a merge runs once")] = 5,
    threads: Annotated[
        int | None, typer.Option(min=1, help="of a merge (all cores); the rest runs on one")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="of a merge (bfloat16 where the processor computes in it)")
    ] = None,
    device: Annotated[
        str, typer.Option(help="of vgg16-merge: cpu, cuda, or auto (a GPU where there is one)")
    ] = "cpu",
    mib: Annotated[int, typer.Option(min=1, max=512, help="size of the module of transport")] = 512,
    at_once: Annotated[int, typer.Option(min=1, max=48, help="its uploads at once, for the memory")] = 32,
    data: Annotated[str, typer.Option(help="of the teachers of encodings")] = "scenes",
    categories: Annotated[
        str, typer.Option(help="of the teachers of encodings, by comma")
    ] = "digit-1,digit-3",
    seeds: Annotated[str, typer.Option(help="of the teachers of encodings, by comma")] = "0",
    epochs: Annotated[int | None, typer.Option(help="of the teachers of encodings")] = None,
    requests: Annotated[int, typer.Option(min=20, help="of hot-switch, in flight at once")] = 1000,
    merges: Annotated[int, typer.Option(min=2, help="of growth, over all --tasks")] = 300,
    steps: Annotated[int, typer.Option(min=1, help="of each of its merges")] = 20,
    workers: Annotated[int, typer.Option(min=1, help="of Ray, in growth")] = 2,
    local_threads: Annotated[
        str, typer.Option(help="of the local runner beside it, by comma; the best counts")
    ] = "1,2",
) -> None:
    """Measure time and memory beside a baseline of the same run, on random nets; missed bars are an error."""
    # Each bench imports torch, which takes seconds: --help should not.
    match bench:
        case "transport":
            from benchmarks.speed.transport.measure import Sizes
            from benchmarks.speed.transport.run import run_transport

            sizes = Sizes(mib, repetitions, at_once=at_once)
            _judge(run_transport(sizes, out, _console(), command=_command()))
        case "shipping":
            from benchmarks.speed.shipping import run_shipping

            run_shipping(out, _console(), command=_command())
        case "images":
            from benchmarks.speed.images import run_images

            run_images(out, _console(), repetitions=repetitions, command=_command())
        case "vgg16-path":
            from benchmarks.speed.vgg16_path import PathCase, run_path

            run_path([PathCase(task) for task in _tasks(tasks)], out, _console(), command=_command())
        case "l2t-step":
            from benchmarks.speed.l2t_step import run_l2t_step

            _judge(run_l2t_step(out, _console(), repetitions=repetitions, command=_command()))
        case "planner":
            from benchmarks.speed.planner import run_planner

            _judge(run_planner(out, _console(), repetitions=repetitions, command=_command()))
        case "growth":
            from benchmarks.speed.growth.material import GrowthSize
            from benchmarks.speed.growth.run import run_growth

            chosen = _tasks(tasks)
            size = GrowthSize(max(1, merges // len(chosen)), chosen, steps=steps)
            beside = _numbers("--local-threads", local_threads)
            _judge(run_growth(size, workers, beside, out, _console(), command=_command()))
        case "serve":
            from benchmarks.speed.serve import cases_of, run_serve

            cases = cases_of(tasks, arch)
            _judge(run_serve(cases, out, _console(), repetitions=repetitions, command=_command()))
        case "hot-switch":
            from benchmarks.speed.hot_switch import run_hot_switch

            _judge(run_hot_switch(out, _console(), requests=requests, command=_command()))
        case "serve-budget":
            from benchmarks.speed.serve_budget import run_budget

            run_budget(
                out, _console(), data=data, categories=categories.split(","),
                seed=_numbers("--seeds", seeds)[0], epochs=epochs, data_root=_root(data),
                repetitions=repetitions, command=_command(),
            )  # fmt: skip
        case "encodings":
            from benchmarks.speed.encodings import run_encodings

            run_encodings(
                out, _console(), data=data, categories=categories.split(","),
                seeds=_numbers("--seeds", seeds), epochs=epochs, data_root=_root(data),
            )  # fmt: skip
        case _:
            from benchmarks.speed.plan import planned
            from benchmarks.speed.run import run_speed

            cores = threads or this_machine().cores
            chosen_precision = precision or fast_precision()
            plan = planned(
                bench, tasks=tasks, arch=arch, precision=chosen_precision, threads=cores, device=device
            )
            _judge(run_speed(plan, out, _console(), repetitions=repetitions, command=_command()))


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def _command() -> str:
    return shlex.join(["transplant-bench", *sys.argv[1:]])


def _judge(missed: Sequence[str]) -> None:
    if missed:
        raise BenchmarkFailed("\n  ".join([f"{len(missed)} bars missed:", *missed]))


def _root(data: str) -> Path:
    return Path() if data == "scenes" else data_root_of(None)


def _tasks(names: str) -> tuple[Task, ...]:
    try:
        return tuple(Task(name) for name in names.split(","))
    except ValueError as error:
        raise InvalidSettings(f"--tasks takes {', '.join(Task)}; got {names}") from error


def _numbers(flag: str, text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as error:
        raise InvalidSettings(f"{flag} takes numbers, several by comma; got {text}") from error
