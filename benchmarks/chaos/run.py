"""One run of chaos, from its size to its violations: let sites live, hurt them, let all heal, check."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.chaos.center import ChaosCenter
from benchmarks.chaos.check import violations
from benchmarks.chaos.crowd import Member
from benchmarks.chaos.disk import disk_for
from benchmarks.chaos.evidence import (
    add_offline,
    attempted_by,
    failures_of,
    gather_online,
    last_errors,
    promises_to,
)
from benchmarks.chaos.inject import Injector
from benchmarks.chaos.mischief import Mischief
from benchmarks.chaos.modules import make_stock, write_stock
from benchmarks.chaos.observer import Observer, look
from benchmarks.chaos.plan import ALWAYS, FaultKind, schedule
from benchmarks.chaos.proxy import Links
from benchmarks.chaos.site import SiteFolder, SitePlan, live
from transplant.errors import BenchmarkFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from benchmarks.chaos.check import Violation

_TICK_S = 0.02
_LIVELY_S = 300.0
_HIDDEN = (8, 8, 64, 512)  # of the sites in turn: payloads of 13 KiB, 13 KiB, 0.4 MiB, 2.2 MiB


@dataclass(frozen=True)
class Size:
    """How large a run is, and what it may use.

    Attributes:
        sites: how many.
        faults: how many.
        seed: of the schedule.
        modules: how many a site makes at most.
        merging: how many sites ask for merges.
        mean_gap_s: between two faults.
        disk_mib: of the server's small disk, where one can be mounted; 0: no small disk.
        registry_url: default: SQLite.
        restart_database: restarts the database, where one is restarted at all.
        ray: whether merges are learned by Ray, whose workers are killed then.
        drain_s: how long the sites may take for what they have begun, after the last fault.
    """

    sites: int = 40
    faults: int = 200
    seed: int = 0
    modules: int = 60
    merging: int = 4
    mean_gap_s: float = 1.0
    disk_mib: int = 1024
    registry_url: str | None = None
    restart_database: Callable[[], object] | None = None
    ray: bool = False
    drain_s: float = 300.0

    def kinds(self) -> Collection[FaultKind]:
        """Return the faults that are possible here."""
        more = {FaultKind.RESTART_DATABASE} if self.restart_database else set[FaultKind]()
        return ALWAYS | more | ({FaultKind.KILL_WORKER} if self.ray else set[FaultKind]())


@dataclass
class Outcome:
    """What a run came to.

    Attributes:
        faults: how many of each kind were injected.
        violations: what was broken.
        modules: how many modules were registered in the end.
        versions: how many versions of the net there are.
        server_starts: how often the server was started.
        site_starts: how often sites' processes were started.
        looks: how often the observer looked.
        missed: faults that found nothing to hurt.
        disk: how its disk was filled.
        seconds: how long all of it took.
    """

    faults: Counter[FaultKind] = field(default_factory=Counter[FaultKind])
    violations: list[Violation] = field(default_factory=list["Violation"])
    modules: int = 0
    versions: int = 0
    server_starts: int = 0
    site_starts: int = 0
    looks: int = 0
    missed: list[str] = field(default_factory=list[str])
    disk: str = ""
    seconds: float = 0.0


def run_chaos(size: Size, folder: Path, tell: Callable[[str], None]) -> Outcome:
    """Run in `folder`, which must be new; after violations everything that was there is kept in it.

    Raises:
        BenchmarkFailed: if the server cannot be started at all.
    """
    began_s = time.monotonic()
    runner = "ray" if size.ray else "local"
    variables = {
        "TRANSPLANT_CENTRAL_DISK_RESERVE_BYTES": "0",
        "TRANSPLANT_CENTRAL_OPEN_UPLOADS": "32",
        "TRANSPLANT_CENTRAL_THREADS": str(max(48, size.sites + 16)),
    }
    center = ChaosCenter(folder, size.registry_url, runner, variables)
    with ExitStack() as stack:
        disk = disk_for(center.home, size.disk_mib)
        stack.callback(disk.close)
        run = _Run(size, folder, center, tell)
        stack.callback(center.stop)
        run.provision(stack.enter_context(Links(lambda: center.address)))
        injector = Injector(
            center, run.members, run.links, disk,
            Mischief(list(zip(run.folders.values(), run.plans, strict=True)), run.ghosts),
            size.restart_database,
        )  # fmt: skip
        stack.callback(run.kill_sites)
        with Observer(center, lambda: attempted_by(run.folders.values())) as observer:
            run.wait_lively(observer)
            run.hurt(injector)
            run.drain(injector)
        outcome = run.check(injector, observer)
        outcome.disk = disk.name
        if outcome.violations and disk.name == "tmpfs":
            shutil.copytree(center.home, folder / "center-kept", dirs_exist_ok=True)
    outcome.seconds = time.monotonic() - began_s
    return outcome


class _Run:
    """The steps of one run, in their order."""

    def __init__(self, size: Size, folder: Path, center: ChaosCenter, tell: Callable[[str], None]) -> None:
        self._size = size
        self._folder = folder
        self._center = center
        self._tell = tell
        self._injected: Counter[FaultKind] = Counter()
        names = [f"site-{number}" for number in range(size.sites)]
        self.folders = {name: SiteFolder(folder / "sites" / name) for name in names}
        self.plans: list[SitePlan] = []
        self.links = []
        self.members = [Member(live, each.root) for each in self.folders.values()]
        self.ghosts = []

    def provision(self, links: Links) -> None:
        """Make certificates, links, modules; start the server, then the sites."""
        categories = {name: f"category-{number}" for number, name in enumerate(self.folders)}
        self._center.provision(categories)
        for number, (name, folder) in enumerate(self.folders.items()):
            link = links.open()
            merges = number < self._size.merging
            plan = SitePlan(
                name, categories[name], number, str(self._center.kit(name)), link.address, merges,
                self._size.modules,
            )  # fmt: skip
            plan.write(folder.root)
            stock = make_stock(name, categories[name], _HIDDEN[number % len(_HIDDEN)])
            write_stock(stock, folder.stock)
            self.links.append(link)
            self.plans.append(plan)
            self.ghosts.append(stock.ghosts())
        self._center.start()
        self._center.wait_ready()
        for member in self.members:
            member.start()
        self._tell(f"{self._size.sites} sites and a server on {self._center.address}")

    def wait_lively(self, observer: Observer) -> None:
        """Wait until the first module is there: what is hurt before would mostly be the start.

        Raises:
            BenchmarkFailed: if none comes.
        """
        deadline_s = time.monotonic() + _LIVELY_S
        while not observer.seen.modules:
            if time.monotonic() > deadline_s:
                raise BenchmarkFailed(f"no module was registered within {_LIVELY_S:g} s: {self._center.log}")
            time.sleep(_TICK_S)

    def hurt(self, injector: Injector) -> None:
        """Inject the whole schedule."""
        faults = schedule(
            self._size.seed, self._size.faults, self._size.sites,
            kinds=self._size.kinds(), mean_gap_s=self._size.mean_gap_s,
        )  # fmt: skip
        for fault in faults:
            self._pass_time(fault.gap_s, injector)
            self._tell(fault.sentence())
            injector.do(fault)
            self._injected[fault.kind] += 1
            if injector.waits_for_server(fault):
                self._center.wait_ready(injector.tend)

    def drain(self, injector: Injector) -> None:
        """End all faults and let every site finish what it has begun."""
        injector.heal()
        injector.mischief.join()
        for folder in self.folders.values():
            folder.stop.touch()
        self._tell("the last fault has passed; the sites finish what they have begun")
        deadline_s = time.monotonic() + self._size.drain_s
        while time.monotonic() < deadline_s and not all(member.finished for member in self.members):
            injector.tend()
            time.sleep(_TICK_S)
        self.kill_sites()

    def check(self, injector: Injector, observer: Observer) -> Outcome:
        """Stop the server, start it once more, ask it, stop it, and look at what it has left."""
        center, seen = self._center, observer.seen
        center.wait_ready(injector.tend)
        center.stop()
        center.start()
        center.wait_ready()
        promises = promises_to(self.folders)
        with center.operator() as client:
            found = gather_online(client, self.folders, promises, self._folder / "scratch")
            look(client, seen, lambda: promises.attempted)
        center.stop()
        add_offline(found, center.settings, seen)
        found.failures = failures_of(center, injector.mischief.failures)
        found.unfinished = last_errors(self.folders)
        return Outcome(
            faults=self._injected,
            violations=violations(promises, seen, found),
            modules=len(found.listed),
            versions=len(found.version_digests),
            server_starts=center.starts,
            site_starts=sum(member.starts for member in self.members),
            looks=observer.looks,
            missed=injector.missed,
        )

    def kill_sites(self) -> None:
        """End every site's process."""
        for member in self.members:
            member.kill()

    def _pass_time(self, seconds: float, injector: Injector) -> None:
        until_s = time.monotonic() + seconds
        while True:
            injector.tend()
            if time.monotonic() >= until_s:
                return
            time.sleep(_TICK_S)
