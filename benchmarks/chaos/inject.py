"""Faults as they happen: each kind of the plan, done to the processes, links, disk and clock of a run."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.chaos.center import MARK
from benchmarks.chaos.plan import FaultKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.chaos.center import ChaosCenter
    from benchmarks.chaos.crowd import Member
    from benchmarks.chaos.disk import Disk
    from benchmarks.chaos.mischief import Mischief
    from benchmarks.chaos.plan import Fault
    from benchmarks.chaos.proxy import Link

LONGEST_S = 4.0
_JUMPS_S = (-7200.0, 3600.0, 9 * 86_400.0, -86_400.0)  # nine days: longer than an upload may be left lying
_WHILE_STARTING = 0.15
_RAY_WORKER = b"ray::"


@dataclass
class Injector:
    """Does faults; those that last end by themselves, when `tend` is called or the link's time has come.

    Args:
        center: the server.
        members: the sites' processes.
        links: the sites' links.
        disk: what the server's home lies on.
        mischief: the second voice of every site.
        restart_database: restarts the registry's database; None where none is restarted.
    """

    center: ChaosCenter
    members: Sequence[Member]
    links: Sequence[Link]
    disk: Disk
    mischief: Mischief
    restart_database: Callable[[], object] | None = None
    missed: list[str] = field(default_factory=list[str])
    _full_until_s: float | None = None

    def do(self, fault: Fault) -> None:
        """Inject one fault."""
        link, lasting_s = self.links[fault.site], 0.5 + fault.amount * (LONGEST_S - 0.5)
        match fault.kind:
            case FaultKind.KILL_SERVER:
                self.center.kill(down_s=fault.amount)
            case FaultKind.KILL_SITE:
                self.members[fault.site].kill()
            case FaultKind.CUT:
                link.cut()
            case FaultKind.STALL:
                link.stall(lasting_s)
            case FaultKind.THROTTLE:
                link.slow(lasting_s, rate=(16 << 10) * (1 + 31 * fault.amount))
            case FaultKind.DELAY:
                link.slow(lasting_s, delay_s=0.02 + 0.3 * fault.amount)
            case FaultKind.HALF_CLOSE:
                link.half_close(towards_server=fault.amount < 0.5)
            case FaultKind.DUPLICATE | FaultKind.REORDER | FaultKind.REPLAY:
                self.mischief.do(fault)
            case FaultKind.FULL_DISK:
                self._fill_disk(fault, lasting_s)
            case FaultKind.CLOCK_JUMP:
                self.center.jump_clock(_JUMPS_S[int(fault.amount * len(_JUMPS_S))])
            case FaultKind.RESTART_DATABASE:
                if self.restart_database is not None:
                    self.restart_database()
            case FaultKind.KILL_WORKER:
                self._kill_worker(fault)

    def waits_for_server(self, fault: Fault) -> bool:
        """Tell whether the next fault waits until a killed server is back; some come while it starts."""
        return fault.kind is FaultKind.KILL_SERVER and fault.amount >= _WHILE_STARTING

    def tend(self) -> None:
        """Bring back whoever ended, and make room on the disk when it is time."""
        self.center.tend()
        for member in self.members:
            if not member.running and not member.finished:
                member.start()
        if self._full_until_s is not None and time.monotonic() >= self._full_until_s:
            self._full_until_s = None
            self.disk.release(self.center.pid)

    def heal(self) -> None:
        """End every fault that lasts."""
        for link in self.links:
            link.heal()
        self._full_until_s = None
        self.disk.release(self.center.pid)

    def _fill_disk(self, fault: Fault, lasting_s: float) -> None:
        self.disk.fill(fault.amount, self.center.pid)
        self._full_until_s = time.monotonic() + lasting_s

    def _kill_worker(self, fault: Fault) -> None:
        workers = ray_workers(self.center.mark)
        if not workers:
            self.missed.append(f"{fault.sentence()}: no worker of Ray's was at work")
            return
        with suppress(ProcessLookupError):
            os.kill(workers[int(fault.amount * len(workers))], signal.SIGKILL)


def ray_workers(mark: str) -> list[int]:
    """Return the ids of Ray's worker processes below the server that was started with this mark (Linux)."""
    wanted = f"{MARK}={mark}".encode()
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        with suppress(OSError):
            working = (folder / "cmdline").read_bytes().startswith(_RAY_WORKER)
            if working and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return sorted(found)
