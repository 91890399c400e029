"""The real server under chaos: a process of its own that is killed, started again, and asked how it is."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.chaos.served import CLOCK, ahead_s, move_clock
from benchmarks.journey.children import Child
from central.audit.noted_head import noted_head
from central.home import identity_folder, open_registry
from central.identity.provision import provision_authority, provision_kit
from central.settings import read_settings
from transplant.backends.log_tail import last_line
from transplant.backends.system_clock import SystemClock
from transplant.errors import (
    BenchmarkFailed,
    InvalidSettings,
    RegistryUnavailable,
    StorageFull,
    TransplantError,
)
from transplant.rpc.channel import load_kit
from transplant.rpc.client import CentralClient
from transplant.rpc.retry import RetryPolicy
from transplant.types import Identity, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from central.settings import CentralSettings

_HOST = "127.0.0.1"
_READY_S = 180.0
_TICK_S = 0.02
_DAYS = 1000  # clocks jump by weeks, and certificates are not what is tried here
OPERATOR = "chaos"
MARK = "TRANSPLANT_CHAOS_RUN"
_FLAGS = (
    "--steps", "8", "--synthetic-images", "64", "--checkpoint-every", "2", "--minimum-agreement", "0",
    "--minimum-closed", "-1000000", "--workers", "1",
)  # fmt: skip
# Without room, or without its database, a server may refuse to start; it says so and is started again.
_EXCUSED = tuple(f"error: {error.code()}" for error in (StorageFull, RegistryUnavailable, InvalidSettings))
# Of the server's own lines and its examiner's: what Ray says of a worker that was killed is no failure.
_INCIDENT = re.compile(r"^\d{4}-\d\d-\d\d [\d:,]+ (examiner )?(ERROR|CRITICAL) |^Traceback", re.MULTILINE)


@dataclass
class ChaosCenter:
    """`transplant-central serve` with a clock that can be moved, and everything around its process.

    Args:
        folder: its home, its log and the kits lie below it.
        registry_url: default: SQLite in the home.
        runner: engine of the merges.
        variables: more settings, as environment variables.
    """

    folder: Path
    registry_url: str | None = None
    runner: str = "local"
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    unplanned_ends: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.home = self.folder / "center"
        self.log = self.folder / "center.log"
        self.clock = self.folder / "clock"
        self.mark = f"{os.getpid()}-{time.monotonic_ns()}"
        url = () if self.registry_url is None else ("--registry-url", self.registry_url)
        command = (sys.executable, "-m", "benchmarks.chaos.served", "serve", "--home", str(self.home))
        self._child = Child(
            "center",
            (*command, "--listen", f"{_HOST}:0", "--runner", self.runner, *_FLAGS, *url),
            self.log,
            {**os.environ, "OMP_NUM_THREADS": "1", CLOCK: str(self.clock), MARK: self.mark, **self.variables},
        )
        self._start_at_s: float | None = None
        self._wanted = False
        self.starts = 0

    # --- before ------------------------------------------------------------------------------------

    def provision(self, sites: Mapping[str, str]) -> None:
        """Make CA, an operator's kit and one for each site; `sites`: name -> category."""
        self.home.mkdir(parents=True, exist_ok=True)
        provision_authority(identity_folder(self.home), (_HOST,), _DAYS)
        registry = open_registry(self.settings)
        authority = identity_folder(self.home).authority()
        kits = [(Identity(Role.SITE, name), [category]) for name, category in sites.items()]
        for identity, categories in [*kits, (Identity(Role.OPERATOR, OPERATOR), [])]:
            provision_kit(
                registry, SystemClock(), authority, identity,
                categories=categories, center=f"{_HOST}:7443", days=_DAYS, out=self.kit(identity.name),
            )  # fmt: skip
        registry.close()

    def kit(self, name: str) -> Path:
        """Return the folder of a site's or the operator's certificate."""
        return self.folder / "kits" / name

    @property
    def settings(self) -> CentralSettings:
        """Return the settings as whoever looks at the home must have them."""
        return read_settings({"home": self.home, "registry_url": self.registry_url})

    # --- life --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process; `tend` or `wait_ready` tells when it takes calls."""
        self._start_at_s, self._wanted = None, True
        self._child.start()
        self.starts += 1

    def kill(self, down_s: float) -> None:
        """Kill -9; `tend` starts it again after `down_s`."""
        self._wanted = False
        self._child.kill()
        self._start_at_s = time.monotonic() + down_s

    def tend(self) -> None:
        """Start it when its time has come, and at once where it ended by itself, which is noted."""
        if self._wanted and not self._child.running:
            told = last_line(self.log)
            if not told.startswith(_EXCUSED):
                self.unplanned_ends.append(f"the server ended by itself: {told}")
            self._wanted, self._start_at_s = False, time.monotonic()
        if self._start_at_s is not None and time.monotonic() >= self._start_at_s:
            self.start()

    def wait_ready(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until it takes calls, tending it.

        Raises:
            BenchmarkFailed: if it does not.
        """
        deadline_s = time.monotonic() + _READY_S
        while not self.ready:
            if time.monotonic() > deadline_s:
                raise BenchmarkFailed(f"the server takes no calls: {last_line(self.log)} [log: {self.log}]")
            self.tend()
            meanwhile()
            time.sleep(_TICK_S)

    def stop(self) -> None:
        """Ask it to end, as an operator does."""
        self._wanted, self._start_at_s = False, None
        self._child.stop(timeout_s=60.0)

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._child.pid

    @property
    def ready(self) -> bool:
        """Tell whether it takes calls."""
        return self._child.running and self._served().get("pid") == self._child.pid

    @property
    def address(self) -> str:
        """Return where it listened last; "" before its first start."""
        return str(self._served().get("address", ""))

    def jump_clock(self, seconds: float) -> None:
        """Move its clock, forward or back."""
        move_clock(self.clock, ahead_s(self.clock) + seconds)

    # --- what it is asked --------------------------------------------------------------------------

    def operator(self, deadline_s: float = 20.0) -> CentralClient:
        """Return the operator's client, at the address of this moment."""
        kit = load_kit(self.kit(OPERATOR))
        return CentralClient(kit, self.address, policy=RetryPolicy(deadline_s=deadline_s), call_s=20.0)

    def noted_head(self) -> tuple[str, int | None] | None:
        """Return the head of the audit log as the home says it."""
        try:
            known = noted_head(self.home)
        except (TransplantError, OSError):
            return None
        return None if known is None else (known.digest, known.position)

    def incidents(self) -> list[str]:
        """Return what its log calls a failure of its own, each with the line that says which."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.is_file() else ""
        found: list[str] = []
        for match in _INCIDENT.finditer(text):
            block = text[match.start() : match.start() + 6000].splitlines()
            last = next((line for line in block[1:] if line and not line.startswith((" ", "Traceback"))), "")
            found.append(f"{block[0][:160]} ... {last[:300]}")
        return found

    def _served(self) -> dict[str, object]:
        try:
            return json.loads((self.home / "serve.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there yet, or half of it
            return {}
