"""`transplant-central`: provision identities, serve, and look at what there is."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from central import maintenance_cli
from central.admission.cli import modules
from central.audit.cli import audit
from central.console import AsJson, Home, RegistryUrl, settings_of, show
from central.home import is_serving, only_serve, open_known_registry
from central.identity.cli import provision
from central.net import cli as net_cli
from central.net.served_settings import served_settings
from central.preflight.cli import preflight_command
from central.refine.cli import found, refine
from central.serving.cli import serve_net
from central.settings import read_settings
from transplant.backends.open_audit import install_open_audit
from transplant.errors import CenterUnreachable, TransplantError
from transplant.rpc.allocator import share_one_arena

app = typer.Typer(
    help="The merge server: receives modules from sites and grows the transplant net.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
net = typer.Typer(help="Look at the transplant net, and change it.", no_args_is_help=True)
app.add_typer(provision, name="provision")
app.add_typer(net, name="net")
app.add_typer(audit, name="audit")
maintenance_cli.register(app)
net_cli.register(app, net)
app.command("preflight")(preflight_command)
app.command("modules")(modules)
app.command("serve-net")(serve_net)
app.command("refine")(refine)
app.command("found")(found)


@app.command()
def serve(
    home: Home,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT; port 0: any free one.")] = None,
    founder: Annotated[
        str | None, typer.Option(help="Category whose teacher founds the net; default: the first.")
    ] = None,
    residents: Annotated[
        int | None, typer.Option(help="Task modules of one task that teachers may bring along.")
    ] = None,
    hosts_at_once: Annotated[
        int | None, typer.Option(help="Of them, into how many a teacher is led side by side.")
    ] = None,
    most_hosts: Annotated[
        int | None, typer.Option(help="How many are tried before a larger adapter is.")
    ] = None,
    most_layers: Annotated[
        int | None, typer.Option(help="Layers of the largest adapter before a task is given up.")
    ] = None,
    supervisors: Annotated[
        int | None,
        typer.Option(help="Teachers of other categories tried for a task that a site never taught; 0: none."),
    ] = None,
    kin: Annotated[
        str | None, typer.Option(help="Categories that are near each other: cat:dog,cow:horse.")
    ] = None,
    unsigned_verdicts: Annotated[
        str | None, typer.Option(help="Of sites of earlier releases: refuse or accept.")
    ] = None,
    runner: Annotated[str | None, typer.Option(help="ray or local.")] = None,
    workers: Annotated[int | None, typer.Option(help="Merges learned at a time.")] = None,
    device: Annotated[str | None, typer.Option(help="auto (a GPU where there is one), cpu or cuda.")] = None,
    gpu_share: Annotated[
        float | None, typer.Option(help="Of one GPU, for each merge on Ray: 0.5 lets two share one.")
    ] = None,
    proxy: Annotated[
        Path | None,
        typer.Option(help="Folder of public unlabelled pictures that adapters are learned on, too."),
    ] = None,
    shares: Annotated[
        str | None, typer.Option(help="Of sites in the workers, where not 1: SITE=NUMBER, several by comma.")
    ] = None,
    minimum_agreement: Annotated[
        float | None, typer.Option(help="Percent of synthetic samples answered as the teacher does.")
    ] = None,
    minimum_closed: Annotated[
        float | None,
        typer.Option(help="Percent of the way from floor to teacher that a route must close at its site."),
    ] = None,
    replacement_tolerance: Annotated[
        float | None,
        typer.Option(help="By how much less a site's newer route may close than the one that it replaces."),
    ] = None,
    validation_deadline_s: Annotated[
        float | None, typer.Option(help="How long a site may take for its verdict.")
    ] = None,
    after_deadline: Annotated[str | None, typer.Option(help="reject or publish.")] = None,
    method: Annotated[str | None, typer.Option(help="How adapters are learned.")] = None,
    layers: Annotated[int | None, typer.Option(help="Convolutions in an adapter.")] = None,
    kernel: Annotated[int | None, typer.Option(help="Side of their kernels.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps a merge; else by image size.")] = None,
    batch: Annotated[int | None, typer.Option(help="Samples a step; else by image size.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    synthetic_images: Annotated[
        int | None, typer.Option(help="Images made for a merge; else by image size.")
    ] = None,
    checkpoint_every: Annotated[int | None, typer.Option(help="Steps between checkpoints.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="float32, or bfloat16 where the workers' processors have it.")
    ] = None,
    drawings: Annotated[
        float | None,
        typer.Option(help="Share of drawings among synthetic images: high for writing, low for photos."),
    ] = None,
    nudged_share: Annotated[
        float | None, typer.Option(help="Share of images that are moved to a teacher's sure answers.")
    ] = None,
    nudge_steps: Annotated[int | None, typer.Option(help="Gradient steps of that moving.")] = None,
    candidates: Annotated[
        int | None, typer.Option(help="Starts of an adapter, of which the best goes on.")
    ] = None,
    probe_pool: Annotated[
        int | None, typer.Option(help="Synthetic images that a site chooses from which ships outputs only.")
    ] = None,
    probe_count: Annotated[int | None, typer.Option(help="How many of them it answers.")] = None,
    probe_grid: Annotated[int | None, typer.Option(help="Side of a segmentation answer.")] = None,
    probe_more: Annotated[
        int | None,
        typer.Option(
            help="N: small images to classify are up to 2 N times the count, of up to 4 N times the pool."
        ),
    ] = None,
    registry_url: RegistryUrl = None,
    store_url: maintenance_cli.StoreUrl = None,
    reflection: Annotated[
        bool | None, typer.Option("--reflection/--no-reflection", help="gRPC reflection for operators.")
    ] = None,
    renewal: Annotated[
        str | None, typer.Option(help="Who renews certificates: operator, or automatic (needs the CA's key).")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Serve sites and merge what they bring, until SIGTERM or Ctrl-C."""
    settings = read_settings(dict(locals()))
    share_one_arena()
    from central.compose import Serving  # torch takes seconds to import: provisioning should not wait

    logging.basicConfig(
        level=settings.log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    for noisy in ("alembic", "matplotlib", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    with only_serve(settings.home):
        serving = Serving(settings, give_up=stop.set)
        serving.start()
        try:
            stop.wait()
        finally:
            serving.stop()
        if serving.lost is not None:
            raise serving.lost


@app.command()
def status(home: Home, as_json: AsJson = False, registry_url: RegistryUrl = None) -> None:
    """Show sites, merges and the newest version; the exit code is 69 where nothing serves this home."""
    from central.report import status_document, status_tables

    settings = served_settings(home, registry_url)
    registry = open_known_registry(settings)
    with registry.read() as books:
        policy = settings.policy().plan
        document = status_document(books, settings.home, serving=is_serving(settings.home), policy=policy)
    registry.close()
    show(document, status_tables(document), as_json=as_json)
    if document["serving"] is None:
        raise typer.Exit(CenterUnreachable.exit_code)


@net.command("show")
def net_show(
    home: Home,
    version: Annotated[int, typer.Option(min=0, help="Number of the version; 0: the newest.")] = 0,
    as_json: AsJson = False,
    registry_url: RegistryUrl = None,
) -> None:
    """Show the routes of a version of the transplant net."""
    from central.report import net_document_of, net_tables

    registry = open_known_registry(settings_of(home, registry_url))
    with registry.read() as books:
        document = net_document_of(books, version)
    registry.close()
    show(document, net_tables(document), as_json=as_json)


def main() -> None:
    """Run the command line; an error is one plain line and the exit code of its class."""
    install_open_audit()
    try:
        app()
    except TransplantError as error:
        typer.echo(f"error: {error.code()}: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
