"""Uploads timed in turns with their baselines, and the server's memory meanwhile."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.records import Record
from benchmarks.speed.transport.center import BenchCenter, send, ship, site_name
from benchmarks.speed.transport.flower import Flower
from benchmarks.speed.transport.modules import modules_of
from benchmarks.speed.transport.plain_grpcio import PlainClient, PlainServer
from benchmarks.speed.transport.server_memory import PeakMemory, all_at_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.speed.transport.modules import Modules
    from transplant.artifact.manifest import Manifest
    from transplant.rpc.client import CentralClient

BENCH = "transport"
MIB = 1 << 20
OURS, PLAIN, FLOWER, ADMISSION = "transplant", "plain-grpcio", "flower", "admission"


@dataclass(frozen=True)
class Sizes:
    """What is measured: a module of about so many MiB, so often, and so many of them at once."""

    mib: int = 512
    repetitions: int = 5
    flower_repetitions: int = 3
    at_once: int = 32


@dataclass
class Figures:
    """What was measured: seconds of each way, and the server's peaks above idle."""

    mib: int
    payload_bytes: int
    seconds: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    above_idle_bytes: dict[int, int] = field(default_factory=dict[int, int])
    peak_rss_bytes: dict[int, int] = field(default_factory=dict[int, int])
    plain_above_idle_bytes: int = 0

    def note(self, way: str, seconds: float) -> None:
        """Add one repetition."""
        self.seconds.setdefault(way, []).append(seconds)

    def throughput(self, way: str) -> float:
        """Return the median, in bytes a second."""
        return self.payload_bytes / median(self.seconds[way])

    def sentence(self) -> str:
        """Return how far it is, for a person."""
        latest = {way: self.payload_bytes / MIB / seconds[-1] for way, seconds in self.seconds.items()}
        rates = [f"{way} {latest[way]:.0f} MiB/s" for way in (PLAIN, OURS, FLOWER) if way in latest]
        waited = f", admitted after {self.seconds[ADMISSION][-1]:.1f} s" if ADMISSION in self.seconds else ""
        return ", ".join(rates) + waited

    def record(self, metric: str, value: float, unit: str, setting: str = "", **measured: Any) -> Record:
        """Return a record; `method` says the size, and what else was chosen."""
        method = f"{self.mib} MiB {setting}".strip()
        return Record(BENCH, metric, value, unit, method=method, **measured)

    def records(self, commit: str) -> list[Record]:
        """Return everything that goes into the book."""
        ours, seconds = self.throughput(OURS), median(self.seconds[OURS])
        made: list[Record] = []
        for way in (PLAIN, FLOWER):
            if way in self.seconds:
                theirs = self.throughput(way)
                compared = {"baseline": theirs, "ratio": ours / theirs, "seconds": seconds}
                made.append(self.record("upload_throughput", ours, "bytes/s", f"beside {way}", **compared))
        if ADMISSION in self.seconds:
            made.append(self.record("admission_seconds", median(self.seconds[ADMISSION]), "s"))
        theirs = self.plain_above_idle_bytes
        for count, above in self.above_idle_bytes.items():
            compared = {"baseline": theirs, "ratio": above / theirs} if theirs > 0 else {}
            setting = f"x {count} at once"
            peak = self.peak_rss_bytes[count]
            made.append(
                self.record("server_memory", above, "bytes", setting, peak_rss_bytes=peak, **compared)
            )
        return [replace(record, commit=commit) for record in made]


def measured(sizes: Sizes, folder: Path, tell: Callable[[str], None]) -> Figures:
    """Measure in a temporary folder below `folder`: uploads write to its disk.

    Raises:
        BenchmarkFailed: if a process does not do its part.
        TransplantError: what the center refused.
    """
    with TemporaryDirectory(dir=folder, prefix="transport-") as temporary:
        place = Path(temporary)
        modules = modules_of(site_name(0), sizes.mib, place / "payloads")
        figures = Figures(sizes.mib, modules.path.stat().st_size)
        with BenchCenter(place / "one", 1) as center, center.client() as client, ExitStack() as stack:
            flower = stack.enter_context(Flower(place / "flower")) if sizes.flower_repetitions else None
            ship(client, modules.f, modules.f_path)
            _in_turns(figures, sizes, modules, center, client, flower, tell)
        with BenchCenter(place / "crowd", sizes.at_once) as center:
            idle_bytes = PeakMemory(center.pid).resident_bytes
            for site in center.sites:
                with center.client(site) as client:
                    ship(client, modules.f_of(site), modules.f_path)
            for count in (1, sizes.at_once):
                tell(f"{count} uploads at once, for the server's memory")
                with PeakMemory(center.pid) as memory:
                    _crowd(center, modules, count)
                figures.peak_rss_bytes[count] = memory.peak_bytes
                figures.above_idle_bytes[count] = memory.peak_bytes - idle_bytes
            center.kill()  # nobody waits for the admission of a crowd
    return figures


def _in_turns(
    figures: Figures,
    sizes: Sizes,
    modules: Modules,
    center: BenchCenter,
    client: CentralClient,
    flower: Flower | None,
    tell: Callable[[str], None],
) -> None:
    """Upload `repetitions` new modules, each round in the opposite order of the one before."""
    with (
        PlainServer(modules.path.parent / "plain", center.server_tls) as server,
        PlainClient(center.kit, server.address) as plain,
        PeakMemory(server.pid) as memory,
    ):
        idle_bytes = memory.resident_bytes

        def ours(manifest: Manifest) -> None:
            upload = ship(client, manifest, modules.path)
            figures.note(OURS, upload.seconds)
            figures.note(ADMISSION, upload.admission_s)

        for number in range(sizes.repetitions):
            manifest = modules.rewrite(number)
            turns: list[Callable[[], None]] = [
                lambda: figures.note(PLAIN, plain.send(modules.path)),
                partial(ours, manifest),
            ]
            for turn in turns if number % 2 == 0 else turns[::-1]:
                turn()
            if flower is not None and number < sizes.flower_repetitions:
                figures.note(FLOWER, flower.move(round(figures.payload_bytes / MIB), number))
            tell(figures.sentence())
    figures.plain_above_idle_bytes = memory.peak_bytes - idle_bytes


def _crowd(center: BenchCenter, modules: Modules, count: int) -> None:
    """Upload `count` modules that differ in their manifests only, each from a client of its own, at once."""
    manifest = modules.rewrite(count)
    with ExitStack() as stack:
        jobs: list[Callable[[], None]] = []
        for index in range(count):
            site = center.sites[index % len(center.sites)]
            client = stack.enter_context(center.client(site))
            own = modules.of(manifest, 1000 * count + index, site)
            jobs.append(partial(send, client, own, modules.path))
        all_at_once(jobs)
