"""`transplant-bench`: run a measurement, or turn its records into a report."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.chaos.cli import chaos
from benchmarks.claims.cli import claims
from benchmarks.data_root import data_root_of
from benchmarks.journey.plan import JourneyPlan, checked_plan, default_categories, prepare_folder
from benchmarks.machine import fast_precision
from benchmarks.records import (
    QUALITY_BENCHES,
    SHIPPING_BENCH,
    SITES_BENCHES,
    TRANSFER_BENCHES,
    read_records,
)
from benchmarks.sites.cli import sites
from benchmarks.speed.cli import speed
from transplant.errors import BenchmarkFailed, TransplantError
from transplant.types import Disclosure

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(chaos, name="chaos")
app.command("claims")(claims)
app.command("sites")(sites)
app.command("speed")(speed)


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
        str | None, typer.Option(help="float32 or bfloat16 (bfloat16 where the processor computes in it)")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="folder of the data packs [TRANSPLANT_DATA or ../shared/data]")
    ] = None,
    compare: Annotated[
        bool | None, typer.Option(help="learn the adapters from 100 labels too, afterwards (not for scenes)")
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
        data_root=None if data == "scenes" else data_root_of(data_root),
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
            help="direct-learn, distill, jacobian-distill, back-distill, closed-form, function, transplant, "
            "refined (transplant, then rounds on the site's own images)"
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
    teacher_images: Annotated[
        str | None, typer.Option(help="of exp2, exp3: how many pictures with its category a site has (all)")
    ] = None,
    teacher_transfer: Annotated[
        str | None,
        typer.Option(
            help="of exp2, exp3: none, layer, l2t, at, fm, lwf: how teachers borrow from the host's"
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="of the teachers")] = None,
    steps: Annotated[int | None, typer.Option(help="of the adapters")] = None,
    precision: Annotated[
        str | None, typer.Option(help="float32 or bfloat16 (bfloat16 where the processor computes in it)")
    ] = None,
    device: Annotated[
        str, typer.Option(help="of adapters and figures: cpu, cuda or auto; teachers are trained on the CPU")
    ] = "cpu",
    workers: Annotated[int, typer.Option(help="cells side by side, on Ray if more than one")] = 1,
    threads: Annotated[
        int, typer.Option(help="computing threads of each worker; only 1 is reproducible")
    ] = 1,
    data_root: Annotated[
        Path | None, typer.Option(help="folder of the data packs [TRANSPLANT_DATA or ../shared/data]")
    ] = None,
    proxy: Annotated[
        Path | None, typer.Option(help="folder of public unlabelled pictures (the Tiny ImageNet pack)")
    ] = None,
    retained: Annotated[
        str | None, typer.Option(help="of layer-transfer: how many layers are kept, 0 to 5 and auto")
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            help="of layer-transfer (cpu: about half an hour of one core, paper: an hour) and l2t (cpu, or "
            "paper for a GPU)"
        ),
    ] = "cpu",
    lenders: Annotated[
        str,
        typer.Option(
            help="of l2t: source nets at once: 1 or 2 of the profile's, or by name as in resnet32,resnet20"
        ),
    ] = "1",
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
            lenders=lenders, workers=workers, threads=threads, data_root=data_root_of(data_root),
            command=shlex.join(["transplant-bench", *sys.argv[1:]]),
        )  # fmt: skip
        return
    from benchmarks.quality.flags import plan_of  # torch takes seconds: --help should not
    from benchmarks.quality.run import needs_packs, run_quality

    plan = plan_of(
        bench, data=data, arch=arch, seeds=seeds, samples=samples, methods=methods, disclosure=disclosure,
        categories=categories, hosts=hosts, tasks=tasks, layers=layers, kernel=kernel, ship=ship,
        sources=sources, synthetic=synthetic, teacher_images=teacher_images,
        teacher_transfer=teacher_transfer, epochs=epochs, steps=steps, precision=precision, device=device,
    )  # fmt: skip
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    ran = run_quality(
        plan,
        out,
        console,
        data_root=data_root_of(data_root) if needs_packs(plan, proxy) else Path(),
        proxy=proxy,
        workers=workers,
        threads=threads,
        command=shlex.join(["transplant-bench", *sys.argv[1:]]),
    )
    console.print(f"{ran.teachers} teachers and {ran.cells} cells run; now: transplant-bench report {out}")


@app.command()
def report(directory: Annotated[Path, typer.Argument(help="folder with a records.jsonl")]) -> None:
    """Show the records of a folder as a table; of quality and sites benches write pages, too."""
    records = read_records(directory)
    if not records:
        raise BenchmarkFailed(f"{directory} holds no records")
    table = Table(title=str(directory), title_justify="left")
    names = ("bench", "data", "category", "task", "alpha", "categories", "method", "retained", "samples",
             "seed", "metric", "value", "unit", "teacher", "floor", "baseline", "ratio")  # fmt: skip
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
    if any(record.bench in (*QUALITY_BENCHES, *TRANSFER_BENCHES, SHIPPING_BENCH) for record in records):
        from benchmarks.quality.report_page import write_page  # matplotlib takes seconds

        console.print(f"written: {write_page(directory, records)}")
    if any(record.bench in SITES_BENCHES for record in records):
        from benchmarks.sites.report import write_pages

        console.print(f"written: {', '.join(map(str, write_pages(directory, records)))}")


def main() -> None:
    """Run the command line; an expected error is one line and its own exit code."""
    try:
        app()
    except TransplantError as error:
        print(f"error: {error.code()}: {error}", file=sys.stderr)  # noqa: T201 - the command line's own voice
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
