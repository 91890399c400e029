"""Many connections and many small modules at once: latencies of the calls, errors, the server's memory."""

from __future__ import annotations

import json
import math
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.chaos.center import ChaosCenter
from benchmarks.chaos.crowd import Member
from benchmarks.chaos.load_site import Timings, load
from benchmarks.chaos.modules import make_stock, write_stock
from benchmarks.speed.transport.server_memory import PeakMemory
from transplant.errors import BenchmarkFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SITES_A_PROCESS = 125
_HIDDEN = 8
_TICK_S = 0.2
_STUCK_S = 1800.0


@dataclass
class LoadOutcome:
    """What was measured; seconds of calls include their retries.

    Attributes:
        timings: of every call.
        registered: how many modules were in the end.
        resident_bytes: the server's memory with every connection open, before the first module.
        after_bytes: when every module was decided about.
        peak_bytes: the most in between.
        sending_s: until the last commit was answered.
        deciding_s: from then on, until admission was through.
    """

    timings: Timings
    registered: int = 0
    resident_bytes: int = 0
    after_bytes: int = 0
    peak_bytes: int = 0
    sending_s: float = 0.0
    deciding_s: float = 0.0


def run_load(
    connections: int, modules: int, folder: Path, tell: Callable[[str], None], registry_url: str | None = None
) -> LoadOutcome:
    """Let `connections` sites send `modules` modules in all, each about the same number of them.

    Raises:
        BenchmarkFailed: if the sites or the admission do not come to an end.
    """
    each = -(-modules // connections)
    center = ChaosCenter(folder, registry_url, variables={"TRANSPLANT_CENTRAL_LOG_LEVEL": "warning"})
    names = [f"site-{number}" for number in range(connections)]
    with ExitStack() as stack:
        center.provision({name: f"category-{number}" for number, name in enumerate(names)})
        stack.callback(center.stop)
        center.start()
        center.wait_ready()
        go, groups = folder / "go", _write_groups(folder, names, each, center)
        members = [Member(load, group) for group in groups]
        for member in members:
            stack.callback(member.kill)
            member.start()
        _wait(lambda: len(list(folder.glob("group-*/*.connected"))) == connections, center, members)
        outcome = LoadOutcome(Timings(), resident_bytes=PeakMemory(center.pid).resident_bytes)
        tell(f"{connections} connections are open")
        began_s = time.monotonic()
        with PeakMemory(center.pid) as memory:
            go.touch()
            _wait(lambda: all((group / "timings.json").exists() for group in groups), center, members)
            outcome.sending_s = time.monotonic() - began_s
            tell(f"all was sent after {outcome.sending_s:.1f} s")
            outcome.timings = _collected(groups)
            wanted = len(outcome.timings.commit_s)
            with center.operator(deadline_s=120.0) as client:
                _wait(lambda: len(client.list_modules()) >= wanted, center, [], 10 * _TICK_S)
                outcome.registered = len(client.list_modules())
            outcome.deciding_s = time.monotonic() - began_s - outcome.sending_s
        outcome.after_bytes, outcome.peak_bytes = memory.resident_bytes, memory.peak_bytes
    outcome.timings.errors += [*center.unplanned_ends, *center.incidents()]
    return outcome


def percentile(values: list[float], percent: float) -> float:
    """Return the smallest value that at least `percent` of all do not exceed; 0 where there are none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0


def _write_groups(folder: Path, names: list[str], each: int, center: ChaosCenter) -> list[Path]:
    groups: list[Path] = []
    for start in range(0, len(names), _SITES_A_PROCESS):
        group = folder / f"group-{start}"
        sites: list[dict[str, str]] = []
        for number in range(start, min(start + _SITES_A_PROCESS, len(names))):
            name = names[number]
            stock = group / "stock" / name
            write_stock(make_stock(name, f"category-{number}", _HIDDEN), stock)
            kit = str(center.kit(name))
            sites.append({"name": name, "number": str(number), "kit": kit, "stock": str(stock)})
        plan = {"sites": sites, "modules": each, "go": str(folder / "go"), "address": center.address}
        (group / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        groups.append(group)
    return groups


def _collected(groups: list[Path]) -> Timings:
    all_timings = Timings()
    for group in groups:
        told = Timings(**json.loads((group / "timings.json").read_text(encoding="utf-8")))
        all_timings.declare_s += told.declare_s
        all_timings.commit_s += told.commit_s
        all_timings.errors += told.errors
    return all_timings


def _wait(
    done: Callable[[], bool], center: ChaosCenter, members: list[Member], every_s: float = _TICK_S
) -> None:
    deadline_s = time.monotonic() + _STUCK_S
    while not done():
        center.tend()
        if any(not member.running and not member.finished for member in members):
            raise BenchmarkFailed("a process of sites ended by itself")
        if time.monotonic() > deadline_s:
            raise BenchmarkFailed(f"the load does not come to its end [log: {center.log}]")
        time.sleep(every_s)
