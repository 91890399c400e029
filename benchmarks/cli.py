"""`transplant-bench`: run a measurement, or turn its records into a report."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.chaos.cli import chaos
from benchmarks.claims.cli import claims
from benchmarks.journey.plan import JourneyPlan, checked_plan, default_categories, prepare_folder
from benchmarks.machine import fast_precision, this_machine
from benchmarks.records import QUALITY_BENCHES, TRANSFER_BENCHES, read_records
from transplant.errors import BenchmarkFailed, TransplantError
from transplant.types import Disclosure, Task

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(chaos, name="chaos")
app.command("claims")(claims)


@app.command()
def journey(
    data: Annotated[str, typer.Option(help="what the sites train on: scenes, voc_mammals or cifar10")],
    out: Annotated[Path, typer.Option(help="folder of everything that the journey makes")],
    seed: Annotated[int, typer.Option(help="of the sites' data and training")] = 0,
    categories: Annotated[
        str | None, typer.Option(help="one site each, by comma; the first founds the net")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="of the teachers")] = None,
    steps: Annotated[int, typer.Option(help="of the adapters")] = 600,
    layers: Annotated[int | None, typer.Option(help="of the adapters")] = None,
    disclosure: Annotated[
        Disclosure, typer.Option(help="what a site tells of its features")
    ] = Disclosure.NONE,
    ship: Annotated[
        str, typer.Option(help="modules, or outputs: all but the founder keep their task modules")
    ] = "modules",
    runner: Annotated[str, typer.Option(help="engine of the merges: ray or local")] = "ray",
    workers: Annotated[int, typer.Option(min=1, help="merges side by side")] = 2,
    precision: Annotated[
        str | None, typer.Option(help="float32 or bfloat16 [bfloat16 where the processor computes in it]")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="folder of the data packs [TRANSPLANT_DATA or ../shared/data]")
    ] = None,
    compare: Annotated[
        bool | None, typer.Option(help="learn the adapters from 100 labels too, afterwards [not for scenes]")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="throw away an earlier journey in --out")] = False,
    timeout_s: Annotated[float, typer.Option(help="give up after so long")] = 3600.0,
) -> None:
    """Run a whole federation on this machine: a center and its sites as processes, proved and measured.

    Without --fresh an interrupted journey in --out goes on where it stopped. Ends with an error if a
    transplanted route does not halve the distance from its floor to its teacher, if anything that was
    published changed, or if any process opened what is not its own.
    """
    from benchmarks.journey.run import run_journey  # torch and matplotlib take seconds: --help should not

    plan = checked_plan(
        JourneyPlan(
            data=data,
            categories=tuple(categories.split(",")) if categories else default_categories(data),
            seed=seed,
            epochs=epochs,
            steps=steps,
            layers=layers,
            disclosure=disclosure.value,
            ship=ship,
            runner=runner,
            workers=workers,
            precision=precision or fast_precision(),
        )
    )
    # Without a terminal nobody wraps lines: a log keeps them whole.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    prepare_folder(out, plan, fresh=fresh)
    outcome = run_journey(
        plan,
        out,
        console,
        command=shlex.join(["transplant-bench", *sys.argv[1:]]),
        data_root=None if data == "scenes" else _data_root(data_root),
        compare=data != "scenes" if compare is None else compare,
        timeout_s=timeout_s,
    )
    console.print(f"report: {out / 'report.md'}, {out / 'report.json'}, pictures in {out / 'pictures'}")
    if outcome.faults:
        raise BenchmarkFailed("\n  ".join(["the journey broke a promise or missed a bar:", *outcome.faults]))
    console.print(
        "proved: every earlier module and every earlier route's logits unchanged in every version; "
        "no process but a site's own opened that site's files; every bar met",
        style="green",
    )


@app.command()
def quality(
    bench: Annotated[str, typer.Argument(help="exp1, exp2, exp3, table4, ablation, layer-transfer or l2t")],
    data: Annotated[str, typer.Option(help="cifar10, voc_mammals or scenes")],
    out: Annotated[
        Path, typer.Option(help="folder of records and teachers; finished cells are not run again")
    ],
    seeds: Annotated[str, typer.Option(help="by comma, like all lists")] = "0,1,2",
    samples: Annotated[str | None, typer.Option(help="labelled images, half of them positive")] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="direct-learn, distill, jacobian-distill, back-distill, closed-form, function, transplant"
        ),
    ] = None,
    disclosure: Annotated[str | None, typer.Option(help="none, scale, moments, pca, proxy")] = None,
    categories: Annotated[str | None, typer.Option(help="whose category modules are transplanted")] = None,
    hosts: Annotated[str | None, typer.Option(help="whose task modules they are transplanted into")] = None,
    tasks: Annotated[str | None, typer.Option(help="classification, segmentation")] = None,
    arch: Annotated[str, typer.Option(help="of all nets: vgg_small or vgg16")] = "vgg_small",
    layers: Annotated[str | None, typer.Option(help="of the adapters")] = None,
    kernel: Annotated[str | None, typer.Option(help="side of their convolutions")] = None,
    ship: Annotated[
        str | None, typer.Option(help="modules, or outputs: g_T stays at home and answers a probe")
    ] = None,
    sources: Annotated[
        str | None, typer.Option(help="of x at disclosure none: procedural, noise, inverted")
    ] = None,
    synthetic: Annotated[str | None, typer.Option(help="how many synthetic images")] = None,
    epochs: Annotated[int | None, typer.Option(help="of the teachers")] = None,
    steps: Annotated[int | None, typer.Option(help="of the adapters")] = None,
    precision: Annotated[
        str | None, typer.Option(help="float32 or bfloat16 [bfloat16 where the processor computes in it]")
    ] = None,
    workers: Annotated[int, typer.Option(help="cells side by side, on Ray if more than one")] = 1,
    threads: Annotated[
        int, typer.Option(help="computing threads of each worker; only 1 is reproducible")
    ] = 1,
    data_root: Annotated[
        Path | None, typer.Option(help="folder of the data packs [TRANSPLANT_DATA or ../shared/data]")
    ] = None,
    proxy: Annotated[
        Path | None, typer.Option(help="folder of public unlabelled pictures [the Tiny ImageNet pack]")
    ] = None,
    retained: Annotated[
        str | None, typer.Option(help="of layer-transfer: how many layers are kept, 0 to 5 and auto")
    ] = None,
    profile: Annotated[str, typer.Option(help="of l2t: cpu, or paper for a GPU")] = "cpu",
    lenders: Annotated[int, typer.Option(help="of l2t: 1 or 2 source nets at once")] = 1,
) -> None:
    """Redo an experiment of the papers: learn by every method and measure beside what it is compared with.

    Lists that are left out take the experiment's defaults. What a run leaves unfinished the next one with the
    same --out goes on with; `transplant-bench report` then writes the tables.
    """
    if bench in TRANSFER_BENCHES:
        from benchmarks.quality.transfer_flags import run_transfer  # torch takes seconds: --help should not

        run_transfer(
            bench, data, out, Console(highlight=False, width=None if sys.stdout.isatty() else 160),
            seeds=seeds, samples=samples, methods=methods, retained=retained, steps=steps, profile=profile,
            lenders=lenders, threads=threads, data_root=_data_root(data_root),
            command=shlex.join(["transplant-bench", *sys.argv[1:]]),
        )  # fmt: skip
        return
    from benchmarks.quality.flags import plan_of  # torch takes seconds: --help should not
    from benchmarks.quality.run import needs_packs, run_quality

    plan = plan_of(
        bench, data=data, arch=arch, seeds=seeds, samples=samples, methods=methods, disclosure=disclosure,
        categories=categories, hosts=hosts, tasks=tasks, layers=layers, kernel=kernel, ship=ship,
        sources=sources, synthetic=synthetic, epochs=epochs, steps=steps, precision=precision,
    )  # fmt: skip
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    ran = run_quality(
        plan,
        out,
        console,
        data_root=_data_root(data_root) if needs_packs(plan, proxy) else Path(),
        proxy=proxy,
        workers=workers,
        threads=threads,
        command=shlex.join(["transplant-bench", *sys.argv[1:]]),
    )
    console.print(f"{ran.teachers} teachers and {ran.cells} cells run; now: transplant-bench report {out}")


@app.command()
def speed(
    bench: Annotated[
        str,
        typer.Argument(
            help="pseudo-gradient, closed-form, vgg16-merge, transport, encodings, serve, serve-budget, "
            "growth, planner or l2t-step"
        ),
    ],
    out: Annotated[Path, typer.Option(help="folder of the records; finished cases are not run again")],
    tasks: Annotated[str, typer.Option(help="of the task modules, by comma")] = "classification,segmentation",
    arch: Annotated[str | None, typer.Option(help="vgg_small or vgg16 alone [both, where both run]")] = None,
    repetitions: Annotated[int, typer.Option(min=1, help="of each variant, in turns; a merge runs once")] = 5,
    threads: Annotated[
        int | None, typer.Option(min=1, help="of a merge [all cores]; the rest runs on one")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="of a merge [bfloat16 where the processor computes in it]")
    ] = None,
    mib: Annotated[int, typer.Option(min=1, max=512, help="size of the module of transport")] = 512,
    at_once: Annotated[int, typer.Option(min=1, max=48, help="its uploads at once, for the memory")] = 32,
    data: Annotated[str, typer.Option(help="of the teachers of encodings")] = "scenes",
    categories: Annotated[
        str, typer.Option(help="of the teachers of encodings, by comma")
    ] = "digit-1,digit-3",
    seeds: Annotated[str, typer.Option(help="of the teachers of encodings, by comma")] = "0",
    epochs: Annotated[int | None, typer.Option(help="of the teachers of encodings")] = None,
    merges: Annotated[int, typer.Option(min=2, help="of growth, over all --tasks")] = 300,
    steps: Annotated[int, typer.Option(min=1, help="of each of its merges")] = 20,
    workers: Annotated[int, typer.Option(min=1, help="of Ray, in growth")] = 2,
    local_threads: Annotated[
        str, typer.Option(help="of the local runner beside it, by comma; the best counts")
    ] = "1,2",
) -> None:
    """Measure time and memory beside a baseline of the same run, on random nets; missed bars are an error."""
    if bench == "transport":
        _transport(out, mib, repetitions, at_once)
        return
    if bench == "l2t-step":
        _l2t_step(out, repetitions)
        return
    if bench == "planner":
        _planner(out, repetitions)
        return
    if bench == "growth":
        _growth(out, tasks, merges, steps, workers, local_threads)
        return
    if bench == "serve":
        _serve(out, tasks, arch, repetitions)
        return
    if bench == "serve-budget":
        _serve_budget(out, data, categories, int(seeds.partition(",")[0]), epochs, repetitions)
        return
    if bench == "encodings":
        _encodings(out, data, categories, seeds, epochs)
        return
    from benchmarks.speed.plan import planned  # torch takes seconds: --help should not
    from benchmarks.speed.run import run_speed

    cases = planned(
        bench,
        tasks=tasks,
        arch=arch,
        precision=precision or fast_precision(),
        threads=threads or this_machine().cores,
    )
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    missed = run_speed(
        cases, out, console, repetitions=repetitions, command=shlex.join(["transplant-bench", *sys.argv[1:]])
    )
    if missed:
        raise BenchmarkFailed("\n  ".join([f"{len(missed)} bars missed:", *missed]))


def _l2t_step(out: Path, repetitions: int) -> None:
    from benchmarks.speed.l2t_step import run_l2t_step  # torch takes seconds: --help should not

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    command = shlex.join(["transplant-bench", *sys.argv[1:]])
    missed = run_l2t_step(out, console, repetitions=repetitions, command=command)
    if missed:
        raise BenchmarkFailed("\n  ".join([f"{len(missed)} bars missed:", *missed]))


def _planner(out: Path, repetitions: int) -> None:
    from benchmarks.speed.planner import run_planner  # torch takes seconds: --help should not

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    command = shlex.join(["transplant-bench", *sys.argv[1:]])
    missed = run_planner(out, console, repetitions=repetitions, command=command)
    if missed:
        raise BenchmarkFailed("\n  ".join([f"{len(missed)} bars missed:", *missed]))


def _serve(out: Path, tasks: str, arch: str | None, repetitions: int) -> None:
    from benchmarks.speed.serve import cases_of, run_serve  # torch takes seconds: --help should not

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    command = shlex.join(["transplant-bench", *sys.argv[1:]])
    missed = run_serve(cases_of(tasks, arch), out, console, repetitions=repetitions, command=command)
    if missed:
        raise BenchmarkFailed("\n  ".join([f"{len(missed)} bars missed:", *missed]))


def _growth(out: Path, tasks: str, merges: int, steps: int, workers: int, local_threads: str) -> None:
    from benchmarks.speed.growth.material import GrowthSize  # torch takes seconds: --help should not
    from benchmarks.speed.growth.run import run_growth

    chosen = tuple(Task(task) for task in tasks.split(","))
    size = GrowthSize(max(1, merges // len(chosen)), chosen, steps=steps)
    threads = [int(count) for count in local_threads.split(",")]
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    command = shlex.join(["transplant-bench", *sys.argv[1:]])
    missed = run_growth(size, workers, threads, out, console, command=command)
    if missed:
        raise BenchmarkFailed("\n  ".join([f"{len(missed)} bars missed:", *missed]))


def _serve_budget(
    out: Path, data: str, categories: str, seed: int, epochs: int | None, repetitions: int
) -> None:
    from benchmarks.speed.serve_budget import run_budget  # torch takes seconds: --help should not

    run_budget(
        out,
        Console(highlight=False, width=None if sys.stdout.isatty() else 160),
        data=data,
        categories=categories.split(","),
        seed=seed,
        epochs=epochs,
        data_root=Path() if data == "scenes" else _data_root(None),
        repetitions=repetitions,
    )


def _encodings(out: Path, data: str, categories: str, seeds: str, epochs: int | None) -> None:
    from benchmarks.speed.encodings import run_encodings  # torch takes seconds: --help should not

    run_encodings(
        out,
        Console(highlight=False, width=None if sys.stdout.isatty() else 160),
        data=data,
        categories=categories.split(","),
        seeds=[int(seed) for seed in seeds.split(",")],
        epochs=epochs,
        data_root=Path() if data == "scenes" else _data_root(None),
    )


def _transport(out: Path, mib: int, repetitions: int, at_once: int) -> None:
    from benchmarks.speed.transport.measure import Sizes  # torch takes seconds: --help should not
    from benchmarks.speed.transport.run import run_transport

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    sizes = Sizes(mib, repetitions, at_once=at_once)
    missed = run_transport(sizes, out, console, command=shlex.join(["transplant-bench", *sys.argv[1:]]))
    if missed:
        raise BenchmarkFailed("\n  ".join([f"{len(missed)} bars missed:", *missed]))


@app.command()
def report(directory: Annotated[Path, typer.Argument(help="folder with a records.jsonl")]) -> None:
    """Show the records of a folder as a table; of quality benches write report.md with pictures, too."""
    records = read_records(directory)
    if not records:
        raise BenchmarkFailed(f"{directory} holds no records")
    table = Table(title=str(directory), title_justify="left")
    names = ("bench", "data", "category", "task", "method", "retained", "samples", "seed", "metric", "value",
             "unit", "teacher", "floor", "baseline", "ratio")  # fmt: skip
    used = [name for name in names if any(getattr(record, name) is not None for record in records)]
    for name in used:
        table.add_column(name)
    for record in records:
        cells = [getattr(record, name) for name in used]
        table.add_row(
            *(
                "" if cell is None else f"{cell:.2f}" if isinstance(cell, float) else str(cell)
                for cell in cells
            )
        )
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    if any(record.bench in (*QUALITY_BENCHES, *TRANSFER_BENCHES) for record in records):
        from benchmarks.quality.report_page import write_page  # matplotlib takes seconds

        console.print(f"written: {write_page(directory, records)}")


def _data_root(chosen: Path | None) -> Path:
    root = chosen or Path(os.environ.get("TRANSPLANT_DATA", "../shared/data"))
    if not root.is_dir():
        raise BenchmarkFailed(f"no data packs at {root}: set --data-root or TRANSPLANT_DATA")
    return root.resolve()


def main() -> None:
    """Run the command line; an expected error is one line and its own exit code."""
    try:
        app()
    except TransplantError as error:
        print(f"error: {error.code()}: {error}", file=sys.stderr)  # noqa: T201 - the command line's own voice
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
