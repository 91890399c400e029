"""`transplant-central audit`: check the log's chain, and read it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from central.audit.noted_head import note_head, noted_head
from central.console import AsJson, Home, RegistryUrl, settings_of, show
from central.home import open_known_registry
from central.registry.audit_chain import KnownHead
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from central.registry.audit_chain import AuditEntry

audit = typer.Typer(help="Check the audit log, and read it.", no_args_is_help=True)


@audit.command("verify")
def audit_verify(
    home: Home,
    expect_head: Annotated[
        str | None,
        typer.Option(
            help="A head that an earlier verify printed: the log must still contain it.", metavar="DIGEST"
        ),
    ] = None,
    renew: Annotated[
        bool,
        typer.Option(
            "--note-head",
            help="Note today's head in the home, whatever was noted before: after a restore from a backup.",
        ),
    ] = False,
    registry_url: RegistryUrl = None,
) -> None:
    """Walk the log's chain; the exit code is 71 where an entry was changed, removed or inserted."""
    if expect_head is not None and not re.fullmatch("[0-9a-f]{64}", expect_head):
        raise InvalidSettings("--expect-head must be a digest: 64 hexadecimal digits")
    settings = settings_of(home, registry_url)
    registry = open_known_registry(settings)
    known = [] if expect_head is None else [KnownHead(expect_head)]
    try:
        # Before the walk begins: a center that serves meanwhile notes newer heads than the walk sees.
        if not renew and (note := noted_head(settings.home)) is not None:
            known.append(note)
        with registry.read() as books:
            head = books.audit.verify(known)
    finally:
        registry.close()
    if renew:
        note_head(settings.home, head)
    typer.echo(f"{head.position} entries, head {head.digest}")


@audit.command("show")
def audit_show(
    home: Home,
    last: Annotated[int, typer.Option(min=1, help="How many of the newest entries.")] = 50,
    as_json: AsJson = False,
    registry_url: RegistryUrl = None,
) -> None:
    """Show the newest entries, oldest first. They are shown as they are: `audit verify` checks them."""
    registry = open_known_registry(settings_of(home, registry_url))
    try:
        with registry.read() as books:
            entries, head = books.audit.last(last), books.audit.head()
    finally:
        registry.close()
    document = {"head": head.digest, "entries": [_document(entry) for entry in entries]}
    show(document, [_table(entries)], as_json=as_json)


def _document(entry: AuditEntry) -> dict[str, Any]:
    try:
        detail = json.loads(entry.detail)
    except ValueError:
        detail = entry.detail  # somebody changed it
    return vars(entry) | {"detail": detail}


def _table(entries: tuple[AuditEntry, ...]) -> Table:
    table = Table("entry", "at", "actor", "action", "subject", "detail", title="audit log")
    for entry in entries:
        subject = entry.subject if len(entry.subject) < 64 else entry.subject[:12]
        words = (str(entry.position), entry.at[:19], entry.actor, entry.action, subject, entry.detail)
        table.add_row(*map(Text, words))  # nobody's words are markup
    return table
