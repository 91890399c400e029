"""`transplant-central preflight`: what is found, as lines or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from central.console import AsJson, Home, RegistryUrl
from central.maintenance_cli import StoreUrl
from central.preflight.center_checks import preflight


def preflight_command(
    home: Home,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT, as serve will be told.")] = None,
    runner: Annotated[str | None, typer.Option(help="ray or local, as serve will be told.")] = None,
    proxy: Annotated[
        Path | None, typer.Option(help="Folder of public pictures, as serve will be told.")
    ] = None,
    registry_url: RegistryUrl = None,
    store_url: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Look at everything that serve needs; the exit code is 0, or that of the first failure."""
    flags = {
        "home": home,
        "listen": listen,
        "runner": runner,
        "proxy": proxy,
        "registry_url": registry_url,
        "store_url": store_url,
    }
    findings = preflight(flags)
    typer.echo(findings.document() if as_json else "\n".join(findings.lines()))
    raise typer.Exit(findings.exit_code)
