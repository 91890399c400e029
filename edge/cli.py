"""`transplant-edge`: what a person or a service types at a data site."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import click
import typer

from edge.agent import run_agent
from edge.datasets.site_dataset import Split
from edge.evaluate import measure_net
from edge.options import refine_options, site_options, teacher_options, with_options
from edge.outbox import Outbox
from edge.preflight.cli import preflight_command
from edge.probe import answer_probes
from edge.pull import load_net, pull_version, read_version
from edge.push import enqueue, push_outbox, request_merge
from edge.renewal import KitRenewal
from edge.report import report_lines, write_report
from edge.seal import SealedTeacher, read_sealed, seal_teacher
from edge.settings import EdgeSettings
from edge.site import Site
from edge.site_home import read_document
from edge.teach.progress import figures_line
from edge.use_cli import register as register_use
from transplant.backends.open_audit import install_open_audit
from transplant.backends.system_clock import SystemClock
from transplant.errors import (
    ArtifactRejected,
    InvalidSettings,
    NotFound,
    TransplantError,
    UnexpectedFailure,
)
from transplant.rpc.client import CentralClient
from transplant.types import MergeState, Task

log = logging.getLogger("edge")
app = typer.Typer(
    name="transplant-edge",
    help="A data site: train a teacher net on data that stays here, ship it, measure what comes back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("preflight")(preflight_command)
register_use(app)
Version = Annotated[int, typer.Option("--version", min=0, help="Which version; 0 is the newest.")]
Preview = Annotated[
    Path | None, typer.Option(help="Draw some of the site's images with their segmentations: a PNG.")
]


@app.command()
@with_options(site_options, teacher_options)
def train(
    *,
    restart: Annotated[bool, typer.Option("--restart", help="Forget an earlier training first.")] = False,
    **flags: Any,
) -> None:
    """Train the teacher net, going on from its checkpoint."""
    site = _site(flags)
    with site.home.locked():
        teacher = site.teach(restart=restart)
    typer.echo(
        f"{site.category}: best of {teacher.epochs} epochs is {teacher.best.epoch + 1}, on validation "
        f"{figures_line(teacher.best.figures)}"
    )


@app.command()
@with_options(site_options, teacher_options)
def seal(**flags: Any) -> None:
    """Cut the trained teacher net at the seam and seal its parts for shipping."""
    site = _site(flags)
    with site.home.locked():
        sealed = _sealed(site)
    for manifest in sealed.manifests():
        typer.echo(
            f"{manifest.module_id}  {manifest.kind} {manifest.task or ''}  {manifest.payload_bytes} bytes"
        )


@app.command()
@with_options(site_options)
def push(
    *,
    ask: Annotated[
        bool, typer.Option("--request-merge/--no-request-merge", help="Say that the teacher net is complete.")
    ] = True,
    again: Annotated[
        bool, typer.Option("--again", help="Ask the center once more about what it has rejected.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Have the center try once more what it failed to learn.")
    ] = False,
    **flags: Any,
) -> None:
    """Ship what is sealed, and wait until it is admitted; an interrupted push goes on where it was."""
    site = _site(flags)
    outbox = Outbox(site.home.outbox)
    with site.home.locked(), _rejections_shown(outbox), site.client() as client:
        sealed = read_sealed(site.home)
        if again:
            outbox.forget_rejections()
        enqueue(sealed, outbox)
        for module_id in push_outbox(outbox, site.home, client):
            typer.echo(f"{module_id}  registered")
        if ask:
            _request(sealed, client, retry=retry)


@app.command()
@with_options(site_options, teacher_options)
def answer(**flags: Any) -> None:
    """Answer the center's probes where task modules stay here (--ship outputs), and request the merge."""
    site = _site(flags)
    outbox = Outbox(site.home.outbox)
    with site.home.locked(), _rejections_shown(outbox), site.client() as client:
        sealed = _sealed(site)
        enqueue(sealed, outbox)
        push_outbox(outbox, site.home, client)  # the center asks about a category module that it has
        sealed = answer_probes(client, site.home, site.teach().net, sealed, site.device)
        enqueue(sealed, outbox)
        for module_id in push_outbox(outbox, site.home, client):
            typer.echo(f"{module_id}  registered")
        _request(sealed, client)


@app.command()
@with_options(site_options)
def pull(*, version: Version = 0, **flags: Any) -> None:
    """Fetch a version of the universal net, every module verified."""
    site = _site(flags)
    with site.home.locked(), site.client() as client:
        pulled = pull_version(client, site.home, version)
    typer.echo(f"version {pulled.number}: {len(pulled.routes)} routes, {len(pulled.module_ids())} modules")


@app.command()
@with_options(site_options, teacher_options)
def evaluate(
    *,
    version: Version = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    preview: Preview = None,
    **flags: Any,
) -> None:
    """Measure teacher and universal net on this site's own test data; writes report.json."""
    site = _site(flags)
    with site.home.locked():
        report = _report(site, version)
        if preview is not None:
            _draw(site, version, preview)
    typer.echo(json.dumps(report, indent=1) if as_json else "\n".join(report_lines(report)))


@app.command()
@with_options(site_options, teacher_options, refine_options)
def agent(
    *,
    until_published: Annotated[
        bool, typer.Option("--until-published", help="Leave when all own routes are decided.")
    ] = False,
    poll_interval_s: Annotated[
        float | None, typer.Option(help="Longest pause between two rounds; news of the center shorten it.")
    ] = None,
    preview: Preview = None,
    **flags: Any,
) -> None:
    """Do it all: train, seal, push, request the merge, answer candidates, pull, evaluate."""
    site = _site(flags | {"poll_interval_s": poll_interval_s})
    if preview is not None and not until_published:
        raise InvalidSettings("--preview shows the published routes: give --until-published, too")
    with site.home.locked(), site.client() as client:
        renewal = KitRenewal(site.settings.required_kit(), client, SystemClock())
        run_agent(site, client, until_published=until_published, renewal=renewal)
        if preview is not None:
            _draw(site, 0, preview)


def _site(flags: dict[str, Any]) -> Site:
    return Site(EdgeSettings.of({name: value for name, value in flags.items() if value is not None}))


def _draw(site: Site, version: int, path: Path) -> None:
    from edge.preview import draw_preview  # matplotlib takes its time, and nothing else needs it

    net = load_net(site.home, read_version(site.home, version))
    draw_preview(site.teach().net, net, site.category, site.data.load(Split.TEST), path)


def _sealed(site: Site) -> SealedTeacher:
    return seal_teacher(
        site.teach(),
        site.data,
        site.home,
        site=site.name,
        category=site.category,
        policy=site.settings.policy,
        device=site.device,
    )


@contextmanager
def _rejections_shown(outbox: Outbox) -> Generator[None]:
    """Print what the center said and measured of rejected artifacts, if that is why a command fails."""
    try:
        yield
    except (ArtifactRejected, NotFound):
        for entry in outbox.entries():
            if entry.rejection is not None:
                typer.echo(f"{entry.module_id}  rejected: {entry.rejection.error}: {entry.rejection.reason}")
                for name, value in sorted(entry.rejection.figures.items()):
                    typer.echo(f"    {name} = {value:.6g}")
        raise


def _request(sealed: SealedTeacher, client: CentralClient, *, retry: bool = False) -> None:
    teacher_id, merges = request_merge(sealed, client, retry=retry)
    typer.echo(f"{teacher_id}  teacher complete, {len(merges)} merges")
    for merge in merges:
        if merge.state is MergeState.FAILED:
            typer.echo(f"{merge.task.value} failed: {merge.reason}; --retry has it tried once more")


def _report(site: Site, number: int) -> dict[str, Any]:
    teacher = site.teach()
    try:
        version = read_version(site.home, number)
    except NotFound:
        if number:
            raise
        version = None  # nothing pulled yet: the teacher alone is measured
    net = None if version is None else load_net(site.home, version)
    test = site.data.load(Split.TEST)
    figures = measure_net(teacher.net, net, site.category, teacher.tasks, test, site.device)
    return write_report(
        site.home,
        site=site.settings.site or (site.name if site.settings.kit else site.category),
        category=site.category,
        version=version.number if version else 0,
        routes=figures,
        states=_known_states(site)
        | {route.task: MergeState.PUBLISHED for route in figures if route.transplanted},
        raw_bytes=site.data.raw_bytes,
    )


def _known_states(site: Site) -> dict[Task, MergeState]:
    """Return what the agent last heard from the center; measuring again does not change it."""
    before = read_document(site.home.report) or {"routes": []}
    return {Task(route["task"]): MergeState(route["state"]) for route in before["routes"] if route["state"]}


def main() -> None:
    """Run the command line; the exit code is that of the error table."""
    install_open_audit()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code."""
    try:
        code = app(arguments, standalone_mode=False)
    except TransplantError as error:
        return _failed(error)
    except click.ClickException as error:
        error.show()
        return InvalidSettings.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except Exception:
        incident = uuid4().hex[:12]
        log.exception("incident %s", incident)
        return _failed(
            UnexpectedFailure(f"this is a bug; please report incident {incident} with the log above")
        )
    return code if isinstance(code, int) else os.EX_OK


def _failed(error: TransplantError) -> int:
    typer.echo(f"error: {error.code()}: {error}", err=True)
    return error.exit_code


if __name__ == "__main__":
    main()
