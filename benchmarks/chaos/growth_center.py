"""A center process and a Ray of its own, both of which are killed while the net grows."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.journey.children import Child, RestartPolicy
from central.home import identity_folder, open_known_registry
from central.identity.provision import provision_authority
from transplant.backends.log_tail import last_line
from transplant.errors import BenchmarkFailed

if TYPE_CHECKING:
    from benchmarks.speed.growth.material import GrowthSize
    from central.settings import CentralSettings

_HOST = "127.0.0.1"
_READY_S = 120.0
_TOKEN = secrets.token_hex(32)
_NEVER = RestartPolicy(restarts=0)
_ATTEMPTS = 1000  # a worker's death costs an attempt, and here they die on purpose


class RayHead:
    """`ray start --head` with two processors, on a port of its own."""

    def __init__(self, folder: Path, workers: int) -> None:
        with socket.socket() as free:
            free.bind((_HOST, 0))
            self._port = free.getsockname()[1]
        self.address = f"{_HOST}:{self._port}"
        self._child = Child(
            "ray",
            (
                str(Path(sys.executable).parent / "ray"), "start", "--head", "--block",
                f"--port={self._port}", f"--node-ip-address={_HOST}", f"--num-cpus={workers}",
                "--include-dashboard=false", "--object-store-memory=100000000", "--disable-usage-stats",
            ),
            folder / "ray.log",
            _environment(),
            _NEVER,
        )  # fmt: skip

    def start(self) -> None:
        """Start it, and wait until its control store takes connections.

        Raises:
            BenchmarkFailed: if it does not.
        """
        self._child.start()
        deadline_s = time.monotonic() + _READY_S
        while True:
            try:
                socket.create_connection((_HOST, self._port), 1.0).close()
            except OSError:
                if time.monotonic() > deadline_s or not self._child.running:
                    told = last_line(self._child.log)
                    raise BenchmarkFailed(f"Ray does not start: {told} [log: {self._child.log}]") from None
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """Kill -9 of the control store, the raylet and all their workers, as a machine does that goes out."""
        for pid in reversed(descendants(self._child.pid)):
            kill(pid)
        self._child.kill()

    def workers(self) -> list[int]:
        """Return the processes that execute an order now; Ray calls them by its name."""
        return [pid for pid in descendants(self._child.pid) if _title(pid).startswith("ray::merge-")]


class GrowthCenter:
    """`transplant-central serve` on a prepared home."""

    def __init__(self, home: Path, size: GrowthSize, ray_address: str, workers: int) -> None:
        self.settings: CentralSettings = size.settings(home)
        self.starts = 0
        self.unplanned_ends: list[str] = []
        chosen = self.settings.model_dump(mode="json", exclude_unset=True)
        chosen |= {"workers": workers, "listen": f"{_HOST}:0", "attempts": _ATTEMPTS, "runner": "ray"}
        variables = {f"TRANSPLANT_CENTRAL_{name.upper()}": str(value) for name, value in chosen.items()}
        self._child = Child(
            "center",
            (sys.executable, "-m", "central.cli", "serve", "--home", str(home)),
            home.parent / "center.log",
            _environment() | variables | {"RAY_ADDRESS": ray_address},
            _NEVER,
        )
        provision_authority(identity_folder(home), (_HOST,), 2)

    def start(self) -> None:
        """Start it; it goes on with whatever its home says."""
        self._child.start()
        self.starts += 1

    def kill(self) -> None:
        """Kill -9."""
        self._child.kill()

    def tend(self) -> None:
        """Start it again where it ended by itself, which is noted: nothing but a kill should end it."""
        if not self._child.running:
            self.unplanned_ends.append(f"the center ended by itself: {last_line(self._child.log)}")
            self.start()

    def stop(self) -> None:
        """Ask it to end, as an operator does."""
        self._child.stop(60.0)

    def published(self) -> int:
        """Return how many routes the newest version has, from its registry's own files."""
        registry = open_known_registry(self.settings)
        try:
            with registry.read() as books:
                version = books.versions.newest()
                return 0 if version is None else len(version.routes)
        finally:
            registry.close()


def descendants(pid: int) -> list[int]:
    """Return the living processes below one, parents before children."""
    told = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in told.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found, waiting = list[int](), [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def kill(pid: int) -> bool:
    """Kill -9 a process; return whether it was still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _environment() -> dict[str, str]:
    """Return what Ray and the center find: one thread each, and a secret that only they know."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    quiet = {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    return kept | quiet | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _TOKEN}
