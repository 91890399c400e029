"""`transplant-central modules`: what came in, what was decided about it, and what stands out."""

from __future__ import annotations

from typing import Annotated

import typer

from central.console import AsJson, Home, RegistryUrl, settings_of, show
from central.home import open_known_registry
from transplant.backends.system_clock import SystemClock


def modules(
    home: Home,
    recall: Annotated[
        str, typer.Option(help="Take the rejection of a module back, by its id: its site may send it again.")
    ] = "",
    as_json: AsJson = False,
    registry_url: RegistryUrl = None,
) -> None:
    """Show every module with its verdict, near copies of other sites' modules, and odd ones out."""
    from central.admission.report import modules_document, modules_tables

    registry = open_known_registry(settings_of(home, registry_url))
    try:
        if recall:
            from central.usecases.recall_rejection import recall_rejection

            recall_rejection(registry, SystemClock(), recall)
        with registry.read() as books:
            document = modules_document(books)
    finally:
        registry.close()
    show(document, modules_tables(document), as_json=as_json)
