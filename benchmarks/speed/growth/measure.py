"""The growth of one net, on Ray and in the center's own threads, one after the other: figures, records."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy

from benchmarks.records import Record
from benchmarks.speed.growth.child import size_to_json
from benchmarks.speed.growth.material import make_home
from transplant.errors import BenchmarkFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.speed.growth.material import GrowthSize

BENCH = "growth"
BASELINE = "local-runner"
_LAST_LINES = 8


@dataclass(frozen=True)
class Grown:
    """One run.

    Attributes:
        seconds: from the first request to the last route.
        published: (time, routes published) in between.
        versions: of the net.
        busy_s: all workers' time at merges.
        learning_cpu_s: processor time of it.
        center_cpu_s: processor time of the center's process; the local runner learns in it.
    """

    seconds: float
    published: tuple[tuple[float, int], ...]
    versions: int
    busy_s: float
    learning_cpu_s: float
    center_cpu_s: float

    def fit(self) -> Fit:
        """Return how the time follows the number of routes."""
        points = [(count, at_s) for at_s, count in self.published if count]
        return Fit.of([count for count, _ in points], [at_s for _, at_s in points])


@dataclass(frozen=True)
class Fit:
    """t(n) = a + b n, and how well it holds.

    Attributes:
        seconds_per_merge: b.
        r_squared: share of the variance that the line explains.
        bend: seconds a merge in the second half of the growth over that in the first, each by a line of its
            own; 1 where the cost is linear.
    """

    seconds_per_merge: float
    r_squared: float
    bend: float

    @classmethod
    def of(cls, counts: Sequence[int], times_s: Sequence[float]) -> Fit:
        """Fit by least squares; a growth of too few versions says nothing and is called linear."""
        if len(counts) < 6:
            return cls(times_s[-1] / counts[-1], 1.0, 1.0)
        n, t = numpy.asarray(counts, float), numpy.asarray(times_s, float)
        slope, offset = numpy.polyfit(n, t, 1)
        rest = float(((t - slope * n - offset) ** 2).sum())
        half = n <= n[-1] / 2
        halves = [
            numpy.polyfit(n[part], t[part], 1)[0] if part.sum() > 2 else slope for part in (half, ~half)
        ]
        whole = float(((t - t.mean()) ** 2).sum())
        return cls(float(slope), 1 - rest / whole, float(halves[1] / halves[0]))


@dataclass(frozen=True)
class Figures:
    """What was measured; `local` by number of threads."""

    size: GrowthSize
    workers: int
    ray: Grown
    local: dict[int, Grown]

    @property
    def best_threads(self) -> int:
        """Return the number of threads with which the local runner is fastest."""
        return min(self.local, key=lambda threads: self.local[threads].seconds)

    def overhead_s(self) -> float:
        """Return what a merge takes on Ray beyond learning: a worker's time without work, and the center's.

        The center's processor time counts in full, though on a machine with a processor to spare it passes
        while workers learn.
        """
        idle_s = self.workers * self.ray.seconds - self.ray.busy_s
        return (idle_s + self.ray.center_cpu_s) / self.size.merges

    def records(self, commit: str) -> list[Record]:
        """Return one record a metric."""
        local, fit, common = self.local[self.best_threads], self.ray.fit(), {"commit": commit}
        ours = {"seconds": round(self.ray.seconds, 3), "cpu_seconds": round(self.ray.center_cpu_s, 3)}
        count = self.size.merges
        return [
            record(self.size, self.workers, metric, value, unit, **common, **more)
            for metric, value, unit, more in (
                ("growth_wall_time", self.ray.seconds, "s",
                 ours | {"baseline": local.seconds, "ratio": self.ray.seconds / local.seconds}),
                ("growth_overhead", self.overhead_s(), "s", {}),
                ("growth_idle", self.workers * self.ray.seconds / count - self.ray.busy_s / count, "s", {}),
                ("growth_center_cpu", self.ray.center_cpu_s / count, "s", {}),
                ("growth_learning_cpu", self.ray.learning_cpu_s / count, "s",
                 {"baseline": local.learning_cpu_s / count}),
                ("growth_bend", fit.bend, "x", {}),
                ("growth_fit", fit.seconds_per_merge, "s", {"ratio": fit.r_squared}),
                ("growth_local_threads", self.best_threads, "count", {}),
                ("growth_versions", self.ray.versions, "count", {"baseline": local.versions}),
            )
        ]  # fmt: skip


def record(size: GrowthSize, workers: int, metric: str, value: float, unit: str, **more: Any) -> Record:
    """Return a record of a growth of this size."""
    method = (
        f"{size.merges} merges ({size.categories} categories x {len(size.tasks)} tasks), Ray on {workers} "
        f"workers beside the {BASELINE}"
    )
    return Record(
        BENCH, metric, value, unit, arch="vgg_small", method=method, seed=size.seed, layers=1,
        synthetic_images=size.synthetic_images, **more,
    )  # fmt: skip


def measured(
    size: GrowthSize, workers: int, local_threads: Sequence[int], folder: Path, tell: Callable[[str], None]
) -> Figures:
    """Grow the same net once each way, each in a fresh process on a home of its own.

    Args:
        size: what grows.
        workers: of Ray.
        local_threads: numbers of threads that the local runner is tried with; the best counts.
        folder: an empty one, for the homes.
        tell: how far it is.
    """
    made = folder / "made"
    tell(f"making {size.categories + 2} teachers")
    make_home(size, made)
    ray = _grown(_run("ray", workers, made, folder, size))
    tell(f"Ray, {workers} workers: {ray.seconds:.1f} s, {ray.versions} versions")
    local: dict[int, Grown] = {}
    for threads in local_threads:
        local[threads] = _grown(_run("local", threads, made, folder, size))
        tell(f"local, {threads} threads: {local[threads].seconds:.1f} s")
    return Figures(size, workers, ray, local)


def _run(way: str, workers: int, made: Path, folder: Path, size: GrowthSize) -> dict[str, Any]:
    home = folder / f"{way}-{workers}"
    shutil.copytree(made, home)
    command = [sys.executable, "-m", "benchmarks.speed.growth.child", way, str(workers), str(home)]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    began_s = time.monotonic()
    done = subprocess.run(
        [*command, size_to_json(size)],
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        told = " / ".join(done.stderr.strip().splitlines()[-_LAST_LINES:])
        after_s = time.monotonic() - began_s
        raise BenchmarkFailed(
            f"{way} with {workers} ended with {done.returncode} after {after_s:.0f} s: {told}"
        )
    shutil.rmtree(home)
    return json.loads(done.stdout.strip().splitlines()[-1])


def _grown(figures: dict[str, Any]) -> Grown:
    published = tuple((at_s, count) for at_s, count in figures["published"])
    names = ("busy_s", "learning_cpu_s", "center_cpu_s")
    return Grown(figures["seconds"], published, figures["versions"], *(figures[name] for name in names))
