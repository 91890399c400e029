"""`transplant-central serve-net`: answer predictions with a version of the net."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from central.console import RegistryUrl
from central.maintenance_cli import StoreUrl
from central.net.served_settings import served_settings
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from central.serving.net_source import NetSource

log = logging.getLogger(__name__)


def serve_net(
    home: Annotated[
        Path | None, typer.Option(help="A center's folder.", envvar="TRANSPLANT_CENTRAL_HOME")
    ] = None,
    net: Annotated[Path | None, typer.Option(help="An exported net, instead of a center.")] = None,
    version: Annotated[
        int, typer.Option(min=0, help="Which version; 0: the newest, and each newer one when it comes.")
    ] = 0,
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0: any free one.")] = 8000,
    grpc_listen: Annotated[
        str, typer.Option(help="HOST:PORT; off loopback only with a center, whose kits callers then need.")
    ] = "127.0.0.1:7444",
    replicas: Annotated[int, typer.Option(min=1, max=256, help="Processes that hold the net.")] = 1,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Computing threads of each.")] = 1,
    batch: Annotated[int, typer.Option(min=1, max=256, help="Requests that are answered together.")] = 16,
    wait_ms: Annotated[float, typer.Option(min=0, help="How long a batch waits to be filled.")] = 2.0,
    guide_images: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Synthetic images for temperatures and budgets, of any size; 0: none of these. "
            "[256, for images of up to 64 pixels a side]",
        ),
    ] = None,
    poll_s: Annotated[float, typer.Option(min=0.1, help="How often a newer version is looked for.")] = 5.0,
    registry_url: RegistryUrl = None,
    store_url: StoreUrl = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Answer predictions over HTTP and gRPC until SIGTERM or Ctrl-C; versions change without a gap.

    HTTP listens on loopback only and Ray has no authentication: whoever is to ask from elsewhere comes
    through gRPC with a kit of the center, or through a proxy of yours that knows its callers.
    """
    if (home is None) == (net is None):
        raise InvalidSettings("give --home (a center) or --net (an exported net)")
    logging.basicConfig(
        level=log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    from central.serving.net_source import CenterSource, FolderSource
    from central.serving.serve import NetServing
    from central.serving.session import ServeOptions

    if home is not None:
        settings = served_settings(home, registry_url, store_url)
        source: NetSource = CenterSource(settings, guide_images)
    else:
        source = FolderSource(net or Path())
    options = ServeOptions(source.root, http_port, replicas, threads, batch, wait_ms / 1000)
    stop = threading.Event()
    _stop_on_signals(stop)
    serving = NetServing(source, options, grpc_listen, version)
    try:
        serving.start()
        # Ray has put its own handler in the place of ours: it would end this process three seconds later,
        # in the middle of Serve's shutdown.
        _stop_on_signals(stop)
        serving.follow(stop, poll_s)
    finally:
        serving.stop()


def _stop_on_signals(stop: threading.Event) -> None:
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
