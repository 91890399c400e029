"""`transplant-central fsck`, `backup`, `restore` and `migrate`: for before and after something broke."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from central.console import AsJson, Home, RegistryUrl, show
from central.home import known_registry, only_serve
from central.net.served_settings import served_settings
from central.registry.schema import LOGGED_SINCE
from central.settings import read_settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from central.fsck.inspect_center import Report

StoreUrl = Annotated[
    str | None, typer.Option(help="The blob store: a folder or s3://bucket/prefix; default: in the home.")
]

Out = Annotated[
    Path, typer.Option(help="A folder (an earlier backup in it is renewed), or a file called .tar.")
]
From = Annotated[Path, typer.Option("--from", help="A backup: its folder or tar file.")]
WithIdentity = Annotated[
    bool,
    typer.Option(help="Keep the private keys of CA and server, too: who has the backup is then the center."),
]

To = Annotated[str, typer.Option("--to", help="The schema that the other release knows, like 0004.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (fsck, backup, restore, migrate):
        app.command()(command)


def fsck(
    home: Home, as_json: AsJson = False, registry_url: RegistryUrl = None, store_url: StoreUrl = None
) -> None:
    """Check registry, store and files against each other; the exit code is 72 where something is damaged.

    Nothing is changed, and a center may serve meanwhile: what is on its way in may then look left over.
    """
    from central.fsck.inspect_center import inspect_center

    report = inspect_center(served_settings(home, registry_url, store_url))
    show(report.document(), _tables(report), as_json=as_json)
    report.raise_damage()


def backup(
    home: Home,
    out: Out,
    with_identity: WithIdentity = False,
    registry_url: RegistryUrl = None,
    store_url: StoreUrl = None,
) -> None:
    """Copy registry, payloads and settings, verified; a center may serve meanwhile.

    Without --with-identity the folder `identity` of the home is not in it: keep a copy elsewhere, or every
    site needs a new kit after a restore.
    """
    from central.backup.take import take_backup

    settings = served_settings(home, registry_url, store_url)
    manifest = take_backup(settings, out, with_identity=with_identity)
    size_mb = sum(manifest.digests().values()) / 1e6
    typer.echo(
        f"version {manifest.version}, {len(manifest.files)} files, {size_mb:.1f} MB in {out}; audit log "
        f"{manifest.audit_position} {manifest.audit_digest}"
    )


def restore(home: Home, source: From, registry_url: RegistryUrl = None, store_url: StoreUrl = None) -> None:
    """Make a new home from a backup, after every file of it is verified, and check it as fsck does."""
    from central.backup.restore import restore_backup

    settings = read_settings({"home": home, "registry_url": registry_url, "store_url": store_url})
    report = restore_backup(source, settings)
    show(report.document(), _tables(report), as_json=False)
    if not (home / "identity").is_dir():
        typer.echo(
            f"the backup holds no identity: put your copy at {home}/identity, or run `provision ca` and hand "
            "every site, operator and reader a new kit"
        )
    report.raise_damage()


def migrate(home: Home, to: To, registry_url: RegistryUrl = None) -> None:
    """Bring the registry to the schema of an earlier release, so that that release can serve it again.

    What only later releases know is lost: take a backup first. No center may serve meanwhile. Whatever serves
    next brings an older schema up to its own by itself.
    """
    settings = served_settings(home, registry_url)
    registry = known_registry(settings)
    try:
        with only_serve(settings.home):
            before = registry.migrate(registry.serving_lock(), to)
    finally:
        registry.close()
    lost = ", and the audit log is gone with it: keep your backup" if to < LOGGED_SINCE <= before else ""
    typer.echo(
        f"the registry has the schema {to} already" if before == to else f"schema {before} -> {to}{lost}"
    )


def _tables(report: Report) -> list[RenderableType]:
    head = (
        f"{report.modules} modules, {report.blobs} payloads and {report.versions} versions checked: "
        f"{len(report.damage)} damaged, {len(report.findings) - len(report.damage)} warnings"
    )
    if not report.findings:
        return [head]
    table = Table("", "where", "what", "seen", "what to do", title="Findings")
    for finding in report.findings:
        told = finding.explanation
        style = "red" if finding.is_damage else "yellow"
        words = (finding.kind, finding.where, told.meaning, finding.detail, told.remedy)
        table.add_row(Text(words[0], style=style), *map(Text, words[1:]))
    note = "A center serves this home: what is on its way in may look left over."
    return [head, table, *([note] if report.serving else [])]
