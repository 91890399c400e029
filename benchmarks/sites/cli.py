"""`transplant-bench sites`: simulated federations, transplanting beside what a user would pick instead."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.data_root import data_root_of
from benchmarks.machine import fast_precision
from transplant.errors import InvalidSettings


def sites(
    scenario: Annotated[str, typer.Argument(help="one-category, dirichlet, joining or scale")],
    data: Annotated[str, typer.Option(help="cifar10, voc_mammals, tiny or scenes")],
    out: Annotated[
        Path, typer.Option(help="folder of records and teachers; finished cells are not run again")
    ],
    sites: Annotated[int | None, typer.Option(help="how many [10; 200 of scale; 5 of voc_mammals]")] = None,
    seeds: Annotated[str, typer.Option(help="by comma, like all lists")] = "0,1,2",
    methods: Annotated[
        str | None,
        typer.Option(
            help="transplant, transplant-proxy (learns on public pictures, too), transplant-refined, fedavg, "
            "fedprox, feddf, dense, co-boosting, ensemble, local, centralised "
            "(all; of scale transplant and fedavg)"
        ),
    ] = None,
    alpha: Annotated[str | None, typer.Option(help="of dirichlet, by comma [0.1,0.3,0.5]")] = None,
    skew: Annotated[
        float | None, typer.Option(help="concentration of unequal sizes: the lower, the more unequal")
    ] = None,
    categories: Annotated[int | None, typer.Option(help="how many take part (as many as there are)")] = None,
    images: Annotated[
        int | None,
        typer.Option(
            help="pictures of its category a site has; of dirichlet, of each category at all sites (all)"
        ),
    ] = None,
    test: Annotated[int, typer.Option(help="test pictures of a category")] = 200,
    public: Annotated[
        int | None, typer.Option(help="unlabelled public pictures for methods that want some [2000]")
    ] = None,
    arch: Annotated[str, typer.Option(help="of all nets")] = "vgg_small",
    epochs: Annotated[int, typer.Option(min=1, help="passes of a site over its pictures, in all")] = 10,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="of the methods that take several [1; 5 of scale]")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="of whatever the center learns")] = 1000,
    batch: Annotated[int, typer.Option(min=1, help="pictures a step")] = 32,
    precision: Annotated[
        str | None, typer.Option(help="float32 or bfloat16 (bfloat16 where the processor computes in it)")
    ] = None,
    labels: Annotated[
        int, typer.Option(min=0, help="that a site spends on transplant-refined; 0: its pictures alone")
    ] = 0,
    duplicates: Annotated[
        str, typer.Option(help="where several sites offer a category: best, or average of their logits")
    ] = "best",
    founders: Annotated[int, typer.Option(min=1, help="of joining: categories that are there first")] = 2,
    dropout: Annotated[float, typer.Option(help="probability that a site is away in a round")] = 0.0,
    stragglers: Annotated[
        float, typer.Option(help="share of sites that are too late every other time")
    ] = 0.0,
    late: Annotated[float, typer.Option(help="share of sites that join at half time")] = 0.0,
    engine: Annotated[
        str, typer.Option(help="flower: its simulation, at RAY_ADDRESS or here; or local: this process")
    ] = "flower",
    workers: Annotated[int, typer.Option(min=1, help="sites side by side, on Flower")] = 2,
    timeout: Annotated[float, typer.Option(help="seconds that a round may take, on Flower")] = 3600.0,
    data_root: Annotated[
        Path | None, typer.Option(help="folder of the data packs [TRANSPLANT_DATA or ../shared/data]")
    ] = None,
) -> None:
    """Simulate a federation and let methods contend on exactly the same pictures at the same sites.

    What a run leaves unfinished the next one with the same --out goes on with; `transplant-bench report` then
    writes the tables and pictures.
    """
    from benchmarks.quality.flags import numbers_of, words_of  # torch takes seconds: --help should not
    from benchmarks.sites.contender import Training
    from benchmarks.sites.run import RunFlags, SitesPlan, run_sites
    from benchmarks.sites.run_methods import METHODS
    from benchmarks.sites.scenarios import Scenario, ScenarioFlags

    if scenario not in set(Scenario):
        raise InvalidSettings(f"there is no scenario {scenario!r}; there are {', '.join(Scenario)}")
    chosen = Scenario(scenario)
    alphas = _numbers("--alpha", words_of("--alpha", alpha) or ("0.1", "0.3", "0.5"))
    if alpha is not None and chosen is not Scenario.DIRICHLET:
        raise InvalidSettings("--alpha belongs to the scenario dirichlet")
    if chosen is not Scenario.DIRICHLET:
        alphas = (None,)
    by_default = ("transplant", "fedavg") if chosen is Scenario.SCALE else METHODS
    plan = SitesPlan(
        flags=ScenarioFlags(
            scenario=chosen,
            data=data,
            sites=sites or _default_sites(chosen, data),
            seed=0,
            categories=categories,
            images=images,
            alpha=alphas[0],
            skew=skew,
            test=test,
            public=2000 if public is None else public,
        ),
        seeds=numbers_of("--seeds", seeds) or (0,),
        alphas=alphas,
        methods=words_of("--methods", methods) or tuple(by_default),
        training=Training(
            arch=arch,
            local_epochs=epochs,
            rounds=rounds or _default_rounds(chosen),
            center_steps=steps,
            batch_size=batch,
            precision=precision or fast_precision(),
        ),
        labels=labels,
        duplicates=duplicates,
        founders=founders,
        dropout=dropout,
        stragglers=stragglers,
        late=late,
    )
    run_sites(
        plan,
        RunFlags(engine, workers, timeout, shlex.join(["transplant-bench", *sys.argv[1:]])),
        out,
        # Without a terminal nobody wraps lines: a log keeps them whole.
        Console(highlight=False, width=None if sys.stdout.isatty() else 160),
        None if data == "scenes" else data_root_of(data_root),
    )


def _default_sites(scenario: str, data: str) -> int:
    if scenario == "scale":
        return 200
    return 5 if data == "voc_mammals" else 10


def _default_rounds(scenario: str) -> int:
    """Return so many that growth of memory shows, where memory is what it is about."""
    return 5 if scenario == "scale" else 1


def _numbers(flag: str, words: tuple[str, ...]) -> tuple[float | None, ...]:
    try:
        return tuple(float(word) for word in words)
    except ValueError as fault:
        raise InvalidSettings(f"{flag} takes numbers by comma; got {','.join(words)!r}") from fault
