"""`transplant-central`: provision identities, serve, and look at what there is."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from central.home import identity_folder, is_serving, only_serve, open_known_registry, open_registry
from central.identity.provision import provision_authority, provision_kit
from central.settings import CentralSettings, read_settings
from transplant.backends.open_audit import install_open_audit
from transplant.backends.system_clock import SystemClock
from transplant.errors import CenterUnreachable, TransplantError
from transplant.types import Identity, Role

_PIPE_WIDTH = 140

app = typer.Typer(
    help="The merge server: receives modules from sites and grows the transplant net.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
provision = typer.Typer(help="Make the CA, and kits for sites, operators and readers.", no_args_is_help=True)
net = typer.Typer(help="Look at the transplant net.", no_args_is_help=True)
app.add_typer(provision, name="provision")
app.add_typer(net, name="net")

Home = Annotated[Path, typer.Option(help="The center's folder.", envvar="TRANSPLANT_CENTRAL_HOME")]
Days = Annotated[int, typer.Option(min=1, max=3650, help="How long the certificate is valid.")]
Out = Annotated[Path, typer.Option(help="Folder of the new kit; hand it to its owner, keep no copy.")]
CenterAddress = Annotated[
    str, typer.Option("--center", help="HOST:PORT at which the holder reaches the center.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RegistryUrl = Annotated[str | None, typer.Option(help="The registry; default: SQLite in the home.")]


@provision.command("ca")
def provision_ca(
    home: Home,
    host: Annotated[list[str], typer.Option(help="Name or address of the server; repeatable.")] = [],  # noqa: B006
    days: Days = 365,
    registry_url: RegistryUrl = None,
) -> None:
    """Make the CA, if there is none, and a new server certificate."""
    open_registry(_settings(home, registry_url)).close()
    fresh = provision_authority(identity_folder(home), host, days)
    typer.echo(
        f"{'made a CA' if fresh else 'kept the CA'} and issued a server certificate in {home}/identity"
    )


@provision.command("site")
def provision_site(
    name: str,
    home: Home,
    category: Annotated[list[str], typer.Option(help="A category that the site may bring; repeatable.")],
    center: CenterAddress,
    out: Out,
    days: Days = 365,
    registry_url: RegistryUrl = None,
) -> None:
    """Make the kit of a data site."""
    _provision(Identity(Role.SITE, name), _settings(home, registry_url), category, center, out, days)


@provision.command("operator")
def provision_operator(
    name: str, home: Home, center: CenterAddress, out: Out, days: Days = 365, registry_url: RegistryUrl = None
) -> None:
    """Make the kit of an operator, who may see everything and cancel merges."""
    _provision(Identity(Role.OPERATOR, name), _settings(home, registry_url), [], center, out, days)


@provision.command("reader")
def provision_reader(
    name: str, home: Home, center: CenterAddress, out: Out, days: Days = 365, registry_url: RegistryUrl = None
) -> None:
    """Make the kit of a reader, who may fetch the published net."""
    _provision(Identity(Role.READER, name), _settings(home, registry_url), [], center, out, days)


@provision.command("revoke")
def provision_revoke(role: Role, name: str, home: Home, registry_url: RegistryUrl = None) -> None:
    """Revoke every certificate of a site, operator or reader; it holds from the next call on."""
    registry = open_known_registry(_settings(home, registry_url))
    with registry.write() as books:
        revoked = books.sites.revoke(role, name, SystemClock().now())
    registry.close()
    typer.echo(f"revoked {revoked} certificates of {role.value} {name}")


@app.command()
def serve(
    home: Home,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT; port 0: any free one.")] = None,
    founder: Annotated[
        str | None, typer.Option(help="Category whose teacher founds the net; default: the first.")
    ] = None,
    runner: Annotated[str | None, typer.Option(help="ray or local.")] = None,
    workers: Annotated[int | None, typer.Option(help="Merges learned at a time.")] = None,
    minimum_agreement: Annotated[
        float | None, typer.Option(help="Percent of synthetic samples answered as the teacher does.")
    ] = None,
    minimum_closed: Annotated[
        float | None,
        typer.Option(help="Percent of the way from floor to teacher that a route must close at its site."),
    ] = None,
    validation_deadline_s: Annotated[
        float | None, typer.Option(help="How long a site may take for its verdict.")
    ] = None,
    after_deadline: Annotated[str | None, typer.Option(help="reject or publish.")] = None,
    method: Annotated[str | None, typer.Option(help="How adapters are learned.")] = None,
    layers: Annotated[int | None, typer.Option(help="Convolutions in an adapter.")] = None,
    kernel: Annotated[int | None, typer.Option(help="Side of their kernels.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps a merge.")] = None,
    batch: Annotated[int | None, typer.Option(help="Samples a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    synthetic_images: Annotated[int | None, typer.Option(help="Images made for a merge.")] = None,
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
    registry_url: RegistryUrl = None,
    reflection: Annotated[
        bool | None, typer.Option("--reflection/--no-reflection", help="gRPC reflection for operators.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Serve sites and merge what they bring, until SIGTERM or Ctrl-C."""
    settings = read_settings(dict(locals()))
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
        serving = Serving(settings)
        serving.start()
        try:
            stop.wait()
        finally:
            serving.stop()


@app.command()
def status(home: Home, as_json: AsJson = False, registry_url: RegistryUrl = None) -> None:
    """Show sites, merges and the newest version; the exit code is 69 where nothing serves this home."""
    from central.report import status_document, status_tables

    settings = _settings(home, registry_url)
    registry = open_known_registry(settings)
    with registry.read() as books:
        document = status_document(books, settings.home, serving=is_serving(settings.home))
    registry.close()
    _show(document, status_tables(document), as_json=as_json)
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

    registry = open_known_registry(_settings(home, registry_url))
    with registry.read() as books:
        document = net_document_of(books, version)
    registry.close()
    _show(document, net_tables(document), as_json=as_json)


def main() -> None:
    """Run the command line; an error is one plain line and the exit code of its class."""
    install_open_audit()
    try:
        app()
    except TransplantError as error:
        typer.echo(f"error: {error.code()}: {error}", err=True)
        sys.exit(error.exit_code)


def _settings(home: Path, registry_url: str | None) -> CentralSettings:
    return read_settings({"home": home, "registry_url": registry_url})


def _provision(
    identity: Identity, settings: CentralSettings, categories: list[str], center: str, out: Path, days: int
) -> None:
    authority = identity_folder(settings.home).authority()
    registry = open_known_registry(settings)
    provision_kit(
        registry,
        SystemClock(),
        authority,
        identity,
        categories=categories,
        center=center,
        days=days,
        out=out,
    )
    registry.close()
    typer.echo(f"wrote the kit of {identity.role.value} {identity.name} to {out}")


def _show(document: dict[str, object], tables: list[object], *, as_json: bool) -> None:
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    if as_json:
        console.print_json(data=document)
    else:
        for table in tables:
            console.print(table)


if __name__ == "__main__":
    main()
