"""Flower's way of moving an array from a client to the server: SuperNode to SuperLink, as real processes.

What counts is the time from the moment when the ClientApp has its array in memory until the ServerApp has it
back as an array: no digest, no disk, no TLS. Telemetry, the update check and the installation of
dependencies are off.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.journey.children import Child
from transplant.backends.flower_programs import listens
from transplant.backends.log_tail import last_line
from transplant.errors import BenchmarkFailed

if TYPE_CHECKING:
    from types import TracebackType

_APP = Path(__file__).parent / "flower_array"
_LINK = "bench"
_TICK_S = 0.1
_READY_S = 60.0
_RUN_S = 900.0


class Flower:
    """A SuperLink and one SuperNode.

    Args:
        folder: everything lies below it, Flower's own settings too.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port, node_port = _free_ports(2)
        home = folder / "home"
        home.mkdir(parents=True)
        (home / "config.toml").write_text(
            f'[superlink]\ndefault = "{_LINK}"\n'
            f'[superlink.{_LINK}]\naddress = "127.0.0.1:{self._port}"\ninsecure = true\n',
            encoding="utf-8",
        )
        scripts = Path(sys.executable).parent
        self._environment = os.environ | {
            "FLWR_HOME": str(home),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "OMP_NUM_THREADS": "1",
            # Flower starts its own programs by name.
            "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}",
        }
        link = ["--host", "127.0.0.1", "--port", str(self._port), "--disable-runtime-dependency-installation"]
        node = ["--superlink", f"127.0.0.1:{self._port}", "--host", "127.0.0.1", "--port", str(node_port)]
        self._flwr = str(scripts / "flwr")
        self._link = self._child("flower-superlink", *link)
        self._node = self._child("flower-supernode", *node)

    def __enter__(self) -> Flower:
        """Start both.

        Raises:
            BenchmarkFailed: if the SuperLink takes no calls.
        """
        self._link.start()
        deadline_s = time.monotonic() + _READY_S
        while not listens(self._port):
            if not self._link.running or time.monotonic() > deadline_s:
                self._link.kill()
                raise BenchmarkFailed(f"the SuperLink did not start: {last_line(self._link.log)}")
            time.sleep(_TICK_S)
        self._node.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._node.stop()
        self._link.stop()

    def move(self, mib: int, seed: int) -> float:
        """Move an array of `mib` MiB of float32 and return the seconds that it was on its way.

        Raises:
            BenchmarkFailed: if the run fails.
        """
        out = self._folder / f"moved-{seed}.json"
        config = f"mib={mib} seed={seed} out='{out}'"
        done = subprocess.run(
            [self._flwr, "run", str(_APP), _LINK, "--run-config", config],
            env=self._environment, cwd=self._folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise BenchmarkFailed(f"flwr run failed: {(done.stderr or done.stdout).strip()[-400:]}")
        deadline_s = time.monotonic() + _RUN_S
        while (told := _told(out)) is None:
            if not (self._link.running and self._node.running) or time.monotonic() > deadline_s:
                raise BenchmarkFailed(f"Flower moved nothing: {last_line(self._link.log)}")
            time.sleep(_TICK_S)
        if told["bytes"] != mib << 20:
            raise BenchmarkFailed(f"Flower moved {told['bytes']} bytes instead of {mib} MiB")
        return float(told["seconds"])

    def _child(self, program: str, *arguments: str) -> Child:
        command = [str(Path(sys.executable).parent / program), "--insecure", *arguments]
        return Child(program, command, self._folder / f"{program}.log", self._environment)


def _told(out: Path) -> dict[str, Any] | None:
    try:
        return json.loads(out.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # not there yet, or half of it
        return None


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
