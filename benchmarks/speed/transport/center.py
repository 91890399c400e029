"""A real merge server as a process of its own, and the client's side of one verified upload."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.journey.children import Child
from benchmarks.speed.transport.modules import CATEGORY
from central.home import identity_folder
from transplant.backends.log_tail import last_line
from transplant.errors import BenchmarkFailed
from transplant.rpc.channel import load_kit
from transplant.rpc.client import CentralClient

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from transplant.artifact.manifest import Manifest
    from transplant.rpc.channel import Kit

UPLOADS_A_SITE = 16
"""A center lets one site have so many streams under way; a crowd comes from several."""
_HOST = "127.0.0.1"
_READY_S = 90.0
_TICK_S = 0.05


@dataclass(frozen=True)
class Upload:
    """What one upload took: until Commit returned, and from then on until the module was registered."""

    seconds: float
    admission_s: float


def site_name(number: int) -> str:
    """Return the name of a site."""
    return f"bench-{number}"


class BenchCenter:
    """`transplant-central serve` on a free port of loopback, with kits of as many sites as `uploads` need.

    Args:
        folder: everything lies below it.
        uploads: how many there will be at a time.
    """

    def __init__(self, folder: Path, uploads: int) -> None:
        self.sites = [site_name(number) for number in range(-(-uploads // UPLOADS_A_SITE))]
        self._folder = folder
        self._home = folder / "center"
        self._environment = dict(os.environ) | {
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
            "TRANSPLANT_CENTRAL_OPEN_UPLOADS": str(2 * UPLOADS_A_SITE),
            "TRANSPLANT_CENTRAL_LOG_LEVEL": "warning",
        }
        command = [sys.executable, "-m", "central.cli", "serve", "--home", str(self._home)]
        self._child = Child(
            "center",
            [*command, "--listen", f"{_HOST}:0", "--runner", "local"],
            folder / "center.log",
            self._environment,
        )
        self.address = ""

    def __enter__(self) -> BenchCenter:
        """Provision, start, wait until it accepts calls.

        Raises:
            BenchmarkFailed: if it does not.
        """
        home = ("--home", str(self._home))
        self._provision("ca", *home, "--host", _HOST)
        for site in self.sites:
            kit = ("--category", CATEGORY, "--center", f"{_HOST}:7443", "--out", str(self._folder / site))
            self._provision("site", site, *home, *kit)
        self._child.start()
        deadline_s = time.monotonic() + _READY_S
        while not self.address:
            if not self._child.running or time.monotonic() > deadline_s:
                self._child.kill()
                raise BenchmarkFailed(f"the center did not start: {last_line(self._child.log)}")
            time.sleep(_TICK_S)
            self.address = self._bound()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.stop()

    def kill(self) -> None:
        """End the server at once."""
        self._child.kill()

    @property
    def pid(self) -> int:
        """Return the server's process id."""
        return self._child.pid

    @property
    def kit(self) -> Kit:
        """Return the first site's kit."""
        return load_kit(self._folder / self.sites[0])

    @property
    def server_tls(self) -> tuple[Path, Path, Path]:
        """Return the files of CA, server certificate and server key."""
        identity = identity_folder(self._home)
        return identity.ca, identity.server, identity.server_key

    def client(self, site: str | None = None) -> CentralClient:
        """Return a client of a site; None: of the first."""
        return CentralClient(load_kit(self._folder / (site or self.sites[0])), self.address)

    def _provision(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "central.cli", "provision", *arguments],
            env=self._environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise BenchmarkFailed(f"provision {arguments[0]} failed: {done.stderr.strip()}")

    def _bound(self) -> str:
        try:
            served = json.loads((self._home / "serve.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # not there yet, or half of it
            return ""
        return str(served["address"]) if int(served.get("pid", 0)) == self.pid else ""


def send(client: CentralClient, manifest: Manifest, path: Path) -> None:
    """Send one module as `transplant-edge push` does, until Commit returns.

    Raises:
        TransplantError: what the center refused.
    """
    declared = client.declare(manifest)
    client.upload(declared.upload_id, path, sha256=manifest.payload_sha256)
    client.commit(declared.upload_id, manifest.payload_sha256)


def ship(client: CentralClient, manifest: Manifest, path: Path) -> Upload:
    """Send one module and wait for its admission.

    Raises:
        TransplantError: what the center refused.
    """
    began_s = time.perf_counter()
    send(client, manifest, path)
    committed_s = time.perf_counter()
    client.wait_for_verdict(manifest.module_id).raise_rejection()
    return Upload(committed_s - began_s, time.perf_counter() - committed_s)
