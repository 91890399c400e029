"""`transplant-central refine` and `found`: what is learned at the sites, in federated rounds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from central.console import Home, RegistryUrl, stop_sign
from central.net.cli import Category, OneTask, center_of
from central.net.served_settings import served_settings
from central.refine.federated_run import STRATEGIES, Rounds
from transplant.errors import MergeNotPossible
from transplant.refinement.founding_config import FoundingConfig
from transplant.refinement.refinement_config import RefinementConfig
from transplant.types import MergeState, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from central.usecases.center import Center

_WORK, _ROUNDS, _NOISE = "At a site", "Rounds", "Lying sites and privacy"
_CONFIG, _HELD = RefinementConfig(), Rounds()
_FOUNDING = FoundingConfig()
_LOOK_S = 0.5

Listen = Annotated[str, typer.Option(help="HOST:PORT that sites come to; their --refine names it.")]
Quorum = Annotated[
    int, typer.Option(help="Sites that must give a usable answer in each.", rich_help_panel=_ROUNDS)
]
WaitS = Annotated[
    float,
    typer.Option(
        help="How long to wait for the quorum to be there, and for --sites-a-round.", rich_help_panel=_ROUNDS
    ),
]
RoundTimeoutS = Annotated[float, typer.Option(help="How long a round may take.", rich_help_panel=_ROUNDS)]
Patience = Annotated[
    float,
    typer.Option(
        help="Once the quorum answered, wait this many times as long for the rest.",
        rich_help_panel=_ROUNDS,
    ),
]
Strategy = Annotated[str, typer.Option(help=f"{', '.join(STRATEGIES)}.", rich_help_panel=_ROUNDS)]
Weights = Annotated[
    str,
    typer.Option(
        help="images: a mean weighs a site by the images that it says it has; equal: all weigh the same.",
        rich_help_panel=_ROUNDS,
    ),
]
HowMany = Annotated[int, typer.Option(help="How many.", rich_help_panel=_ROUNDS)]
Batch = Annotated[int, typer.Option(help="Images a step.", rich_help_panel=_WORK)]
LearningRate = Annotated[float, typer.Option(help="Peak; one cosine over all rounds.", rich_help_panel=_WORK)]


def refine(
    category: Category,
    task: OneTask,
    home: Home,
    listen: Listen,
    rounds: HowMany = _HELD.rounds,
    quorum: Quorum = _HELD.quorum,
    sites_a_round: Annotated[
        int, typer.Option(help="Sites asked, chosen by seed; 0: all.", rich_help_panel=_ROUNDS)
    ] = _HELD.sites_a_round,
    wait_s: WaitS = _HELD.wait_s,
    round_timeout_s: RoundTimeoutS = _HELD.timeout_s,
    patience: Patience = _HELD.patience,
    strategy: Strategy = _HELD.strategy,
    weights: Weights = _HELD.weights,
    server_rate: Annotated[
        float, typer.Option(help="Of strategies that step; 0: their default.", rich_help_panel=_ROUNDS)
    ] = _HELD.server_rate,
    seed: Annotated[
        int, typer.Option(help="Of the choice of sites, and of theirs.", rich_help_panel=_ROUNDS)
    ] = _HELD.seed,
    steps: Annotated[int, typer.Option(help="Adam steps a round.", rich_help_panel=_WORK)] = _CONFIG.steps,
    batch: Batch = _CONFIG.batch,
    learning_rate: LearningRate = _CONFIG.learning_rate,
    labels: Annotated[
        int,
        typer.Option(
            help="Most labels that a site may learn from; its own limit holds, too. 0: none is read.",
            rich_help_panel=_WORK,
        ),
    ] = _CONFIG.labels,
    label_weight: Annotated[
        float, typer.Option(help="Of the labels, where there are any.", rich_help_panel=_WORK)
    ] = _CONFIG.label_weight,
    precision: Annotated[
        str, typer.Option(help="float32 or bfloat16.", rich_help_panel=_WORK)
    ] = _CONFIG.precision,
    lying: Annotated[
        int,
        typer.Option(
            help="Sites feared to lie; fedmedian, fedtrimmedavg, krum, multikrum and bulyan bear with 1 at "
            "least, and need a quorum for it.",
            rich_help_panel=_NOISE,
        ),
    ] = _HELD.lying,
    most_norm: Annotated[
        float, typer.Option(help="Refuse an answer longer than this; 0: none.", rich_help_panel=_NOISE)
    ] = _HELD.most_norm,
    site_clip_norm: Annotated[
        float,
        typer.Option(help="Sites shorten their answers to this; 0: they do not.", rich_help_panel=_NOISE),
    ] = _CONFIG.clip_norm,
    epsilon: Annotated[
        float,
        typer.Option(
            help="Privacy loss of all rounds, by noise of the center; 0: none.", rich_help_panel=_NOISE
        ),
    ] = _HELD.epsilon,
    delta: Annotated[float, typer.Option(help="Probability of more.", rich_help_panel=_NOISE)] = _HELD.delta,
    clip_norm: Annotated[
        float, typer.Option(help="To which answers are cut before that noise.", rich_help_panel=_NOISE)
    ] = _HELD.clip_norm,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Until the gates have decided; a center must serve.")
    ] = False,
    registry_url: RegistryUrl = None,
) -> None:
    """Refine a route's adapter at the sites that hold its category; no image and no label leaves them.

    The category module and the task module stay as they are; only the adapter moves, by answers that are
    differences of its numbers. Without --labels not one label is read: sites learn to repeat their own
    teacher on their own images. What comes of it is a candidate: it passes the same gates as every
    other, takes the place of the published adapter only if the category's own site finds it no worse, and
    its lineage says how it came about. A center may serve meanwhile; it must, for the gates to decide.
    """
    from central.refine.refinement import refine_category

    held = Rounds(
        rounds=rounds,
        quorum=quorum,
        sites_a_round=sites_a_round,
        wait_s=wait_s,
        timeout_s=round_timeout_s,
        patience=patience,
        strategy=strategy,
        weights=weights,
        server_rate=server_rate,
        lying=lying,
        most_norm=most_norm,
        epsilon=epsilon,
        delta=delta,
        clip_norm=clip_norm,
        seed=seed,
    )
    config = RefinementConfig.from_dict(
        {
            "steps": steps,
            "batch": batch,
            "learning_rate": learning_rate,
            "labels": labels,
            "label_weight": label_weight,
            "clip_norm": site_clip_norm,
            "precision": precision,
        }
    )
    settings = served_settings(home, registry_url)
    with center_of(settings) as center, stop_sign() as stopped:
        refined = refine_category(
            center, settings, category, task, config, held, listen, progress=typer.echo, stopped=stopped
        )
        for each in refined.record.rounds:
            refused = "".join(f"; refused {site}: {why}" for site, why in each.refused.items())
            silent = f"; silent: {', '.join(each.silent)}" if each.silent else ""
            typer.echo(
                f"round {each.number}: {', '.join(each.answered)}; loss {each.figures['loss']:.4f}"
                f"{refused}{silent}"
            )
        agreement = refined.figures.get("agreement", 0.0)
        typer.echo(f"candidate {refined.merge_key[:12]}: agreement with the teacher {agreement:.1f} %")
        if wait:
            _await_gates(center, refined.merge_key, stopped)


def found(
    categories: Annotated[list[str], typer.Argument(help="Categories whose sites found; two at least.")],
    home: Home,
    listen: Listen,
    task: Annotated[
        list[Task], typer.Option(help="Task of a shared module; repeatable.", rich_help_panel=_WORK)
    ] = [Task.CLASSIFICATION],  # noqa: B006
    arch: Annotated[str, typer.Option(help="Of every founding site.", rich_help_panel=_WORK)] = "vgg_small",
    image_px: Annotated[int, typer.Option(help="Side of the images.", rich_help_panel=_WORK)] = 64,
    rounds: HowMany = 20,
    quorum: Quorum = _HELD.quorum,
    wait_s: WaitS = _HELD.wait_s,
    round_timeout_s: RoundTimeoutS = _HELD.timeout_s,
    patience: Patience = _HELD.patience,
    strategy: Strategy = _HELD.strategy,
    weights: Weights = _HELD.weights,
    seed: Annotated[
        int, typer.Option(help="Of the start, and of all that sites draw.", rich_help_panel=_ROUNDS)
    ] = _HELD.seed,
    steps: Annotated[int, typer.Option(help="SGD steps a round.", rich_help_panel=_WORK)] = _FOUNDING.steps,
    batch: Batch = _FOUNDING.batch,
    learning_rate: LearningRate = _FOUNDING.learning_rate,
    registry_url: RegistryUrl = None,
) -> None:
    """Found a net at the sites of several categories: each keeps a category module, the rest is shared.

    What travels are differences of the task modules; images, labels and category modules stay. In the end
    every site that took part holds the shared task modules and ships its teacher with them by the usual
    way, so a center that serves grows its net from there. Sites take part with --refine and --found.
    """
    from central.refine.founding import found_net
    from transplant.nets.architecture_table import default_architecture

    held = Rounds(
        rounds=rounds,
        quorum=quorum,
        wait_s=wait_s,
        timeout_s=round_timeout_s,
        patience=patience,
        strategy=strategy,
        weights=weights,
        seed=seed,
    )
    config = FoundingConfig(steps=steps, batch=batch, learning_rate=learning_rate)
    settings = served_settings(home, registry_url)
    with center_of(settings) as center, stop_sign() as stopped:
        record = found_net(
            center,
            settings,
            categories,
            default_architecture(arch, image_px),
            tuple(dict.fromkeys(task)),
            config,
            held,
            listen,
            progress=typer.echo,
            stopped=stopped,
        )
    loss = record.rounds[-2].figures["loss"]
    typer.echo(
        f"{len(record.rounds[-1].answered)} sites hold the founded net; loss {loss:.4f} in the last round"
    )


def _await_gates(center: Center, merge_key: str, stopped: Callable[[], bool]) -> None:
    """Wait until a candidate is decided, and say how.

    Raises:
        MergeNotPossible: if the published adapter stays.
    """
    while not stopped():
        with center.registry.read() as books:
            status = books.merges.get(merge_key).status
        if status.ended:
            if status.state is not MergeState.PUBLISHED:
                raise MergeNotPossible(f"the published adapter stays: {status.reason}")
            typer.echo(f"published with version {status.version_number}")
            return
        time.sleep(_LOOK_S)
