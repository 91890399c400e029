"""`transplant-edge preflight`: what is found, as lines or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.preflight.site_checks import Subject, preflight

_PREFIX = "TRANSPLANT_EDGE_"


def preflight_command(
    *,
    kit: Annotated[Path, typer.Option(help="Folder with the site's certificate.", envvar=f"{_PREFIX}KIT")],
    center: Annotated[
        str | None, typer.Option(help="HOST:PORT instead of the kit's.", envvar=f"{_PREFIX}CENTER")
    ] = None,
    home: Annotated[Path | None, typer.Option(help="The site's folder.", envvar=f"{_PREFIX}HOME")] = None,
    category: Annotated[
        str | None, typer.Option(help="What this site knows.", envvar=f"{_PREFIX}CATEGORY")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="As the other commands take it.", envvar=f"{_PREFIX}DATA")
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the data packs (TRANSPLANT_DATA).",
            envvar=[f"{_PREFIX}DATA_ROOT", "TRANSPLANT_DATA"],
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at what can keep this site from its center; the exit code is 0, or that of the first failure."""
    findings = preflight(Subject(kit, center, home, category, data, data_root))
    typer.echo(findings.document() if as_json else "\n".join(findings.lines()))
    raise typer.Exit(findings.exit_code)
