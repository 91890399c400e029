"""What the commands of `transplant-central` share: their common options and how they print."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from central.settings import CentralSettings, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from rich.console import RenderableType

_PIPE_WIDTH = 140

Home = Annotated[Path, typer.Option(help="The center's folder.", envvar="TRANSPLANT_CENTRAL_HOME")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RegistryUrl = Annotated[str | None, typer.Option(help="The registry; default: SQLite in the home.")]


def settings_of(home: Path, registry_url: str | None) -> CentralSettings:
    """Return the settings of a command that only looks at a home and its registry.

    Raises:
        InvalidSettings: with every mistake in flags and environment.
    """
    return read_settings({"home": home, "registry_url": registry_url})


def show(document: Mapping[str, object], tables: Iterable[RenderableType], *, as_json: bool) -> None:
    """Print a document as JSON, or the tables of the same content."""
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    if as_json:
        console.print_json(data=document)
    else:
        for table in tables:
            console.print(table)


@contextmanager
def stop_sign() -> Generator[Callable[[], bool]]:
    """Yield whether SIGTERM or Ctrl-C came: long commands end in an orderly way."""
    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    yield stop.is_set
