"""The whole path at full size: two sites with VGG-16 or FCN-8s at 224 px, one center, real processes.

`transplant-bench speed vgg16-path --out DIR` trains two teachers from random nets for one epoch of a few
drawn pictures, seals, pushes, admits, founds with the first, merges the second with two steps on the local
runner, validates, publishes and pulls. The nets learn nothing worth having and no gate asks them to: what is
shown is that every station takes modules of half a gigabyte, and what each process needs for it. Sites come
one after the other. It takes minutes, 8 GB of memory and as much of disk, which are freed at the end.

A record is the peak of one process (VmHWM); its baseline are the bytes of a teacher's f and g.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from rich.table import Table

from benchmarks.journey.children import Child
from benchmarks.machine import this_machine
from benchmarks.quality.folder import note_cases
from benchmarks.records import Record, RecordBook
from transplant.backends.log_tail import last_line
from transplant.datafree.procedural_images import procedural_images
from transplant.errors import BenchmarkFailed
from transplant.nets.architecture_table import default_architecture
from transplant.nets.architectures import tensor_layout
from transplant.types import ModuleKind, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.console import Console

BENCH = "vgg16-path"
METRIC = "path_peak_rss"
CATEGORIES = ("first", "second")
PROCESSES = ("center", "examiner", *CATEGORIES)
"""`examiner` is the center's own child that looks into what arrives."""

_TICK_S = 0.2
_READY_S = 180.0
_LIMIT_S = 3600.0
_PICTURES = {"train": 6, "validation": 2, "test": 2}


@dataclass(frozen=True)
class PathCase:
    """One federation: what its two teachers are."""

    task: Task
    arch: str = "vgg16"
    image_px: int = 224

    def record(self, process: str, value: float = 0.0, **measured: float | str) -> Record:
        """Return the record of one process."""
        taught = f"{self.image_px} px, {sum(_PICTURES.values())} pictures a site, 2 steps"
        known = {"arch": self.arch, "task": self.task.value, "method": f"{process}: {taught}"}
        return Record(BENCH, METRIC, value, "bytes", **known, **measured)  # type: ignore[arg-type]

    @property
    def teacher_bytes(self) -> int:
        """Return the bytes of f and g in float32."""
        architecture = default_architecture(self.arch, self.image_px)
        parts = ((ModuleKind.CATEGORY, None), (ModuleKind.TASK, self.task))
        shapes = [shape for part in parts for shape in tensor_layout(architecture, *part).values()]
        return 4 * sum(map(prod, shapes))


def run_path(cases: Iterable[PathCase], out: Path, console: Console, *, command: str) -> None:
    """Run the federations that `out` has no records of, and show all records.

    Raises:
        BenchmarkFailed: if a process ended on an error, or the second site's route was not published.
    """
    machine = this_machine()
    book = RecordBook(out)
    began_s, ran = time.monotonic(), 0
    for case in cases:
        if all(book.has(case.record(process)) for process in PROCESSES):
            continue
        console.print(f"the whole path of {case.arch} at {case.image_px} px, {case.task}", highlight=False)
        case_began_s = time.monotonic()
        with PathRun(case, out / f"path-{case.task.value}") as path:
            path.run(lambda sentence: console.print(f"  {sentence}", highlight=False))
            peaks = path.peaks
        seconds = round(time.monotonic() - case_began_s, 1)
        whole = case.teacher_bytes
        for process in PROCESSES:
            peak = peaks[process]
            book.add(
                case.record(
                    process, float(peak), baseline=float(whole), ratio=peak / whole, seconds=seconds,
                    peak_rss_bytes=peak, commit=machine.commit,
                )
            )  # fmt: skip
        ran += 1
    console.print(_table([record for record in book if record.bench == BENCH]))
    note_cases(out, machine, command, ran, began_s)


@dataclass
class PathRun:
    """The processes of one federation, in a folder that goes away with it.

    Args:
        case: what is taught.
        folder: of homes, kits, pictures and logs.
    """

    case: PathCase
    folder: Path
    peaks: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PROCESSES, 0))

    def __enter__(self) -> PathRun:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self._children: list[Child] = []
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for child in reversed(self._children):
            child.stop()
        if kind is None:  # else the logs say why
            shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, tell: Callable[[str], None]) -> None:
        """Bring both teachers, one after the other, to published routes.

        Raises:
            BenchmarkFailed: if a process ended on an error, or a route was not published.
        """
        home = ("--home", str(self.folder / "center"))
        _provision("ca", *home, "--host", "127.0.0.1")
        for category in CATEGORIES:
            to = ("--center", self.address, "--out", str(self.folder / "kits" / category))
            _provision("site", category, *home, "--category", category, *to)
        center = self._child("center", self.center_command())
        self._wait(lambda: (self.folder / "center" / "serve.json").is_file(), center, _READY_S)
        for seed, category in enumerate(CATEGORIES):
            draw_pictures(self.folder / "pictures" / category, self.case, seed)
            site = self._child(category, self.site_command(category))
            self._wait(lambda site=site: site.finished, site, _LIMIT_S)
            tell(f"{category}: {self._published(category)}")

    def center_command(self) -> list[str]:
        """Return how the center serves: two steps, no bar, one worker in its own process."""
        return [
            sys.executable, "-m", "central.cli", "serve", "--home", str(self.folder / "center"),
            "--listen", self.address, "--runner", "local", "--workers", "1", "--device", "cpu",
            "--founder", CATEGORIES[0], "--steps", "2", "--batch", "2", "--synthetic-images", "8",
            "--candidates", "1", "--nudged-share", "0", "--minimum-agreement", "0",
            "--minimum-closed", "-1000000", "--validation-deadline-s", "36000",
        ]  # fmt: skip

    def site_command(self, category: str) -> list[str]:
        """Return how a site lives: one epoch, and all the rest as any site does it."""
        case = self.case
        return [
            sys.executable, "-m", "edge.cli", "agent", "--until-published", "--home",
            str(self.folder / "sites" / category), "--kit", str(self.folder / "kits" / category),
            "--data", f"folder:{self.folder / 'pictures' / category}", "--category", category,
            "--image-px", str(case.image_px), "--arch", case.arch, "--task", case.task.value,
            "--epochs", "1", "--batch-size", "3", "--learning-rate", "1e-4", "--device", "cpu",
        ]  # fmt: skip

    def _child(self, name: str, command: Sequence[str]) -> Child:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        environment.pop("RAY_ADDRESS", None)
        child = Child(name, command, self.folder / "logs" / f"{name}.log", environment)
        self._children.append(child)
        child.start()
        return child

    def _wait(self, done: Callable[[], bool], child: Child, limit_s: float) -> None:
        """Wait for something that a child does, and keep the peaks of all processes meanwhile."""
        deadline_s = time.monotonic() + limit_s
        while not done():
            for each in self._children:
                if not each.running and not each.finished:
                    raise BenchmarkFailed(f"{each.name} ended: {last_line(each.log)} [log: {each.log}]")
            if time.monotonic() > deadline_s:
                raise BenchmarkFailed(f"{child.name} was not done after {limit_s:.0f} s [log: {child.log}]")
            self._note_peaks()
            time.sleep(_TICK_S)
        self._note_peaks()

    def _note_peaks(self) -> None:
        for child in self._children:
            for pid, peak in tree_peaks(child.pid).items():
                own = pid == child.pid or child.name != "center"  # a site has no process beside its own
                name = child.name if own else "examiner"
                self.peaks[name] = max(self.peaks[name], peak)

    def _published(self, category: str) -> str:
        report = json.loads((self.folder / "sites" / category / "report.json").read_text(encoding="utf-8"))
        (route,) = report["routes"]
        if not route["transplanted"]:
            raise BenchmarkFailed(f"the route of {category} was not published: {route}")
        return f"version {report['version']}, {route['task']}, transplanted {route['transplanted']}"


def tree_peaks(root: int) -> dict[int, int]:
    """Return pid -> largest resident bytes so far of a process and all below it; empty without /proc."""
    parents: dict[int, int] = {}
    peaks: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # A name may hold blanks and brackets: the fields behind it are counted from its last one.
            told = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
            status = (folder / "status").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue  # it ended meanwhile
        pid = int(folder.name)
        parents[pid] = int(told.split()[1])
        peaks[pid] = next((int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:")), 0)

    def below(pid: int) -> bool:
        while pid in parents and pid != root:
            pid = parents[pid]
        return pid == root

    return {pid: peak for pid, peak in peaks.items() if below(pid)}


def draw_pictures(folder: Path, case: PathCase, seed: int) -> None:
    """Draw a site's pictures with masks: procedural ones, a bright square on every second."""
    count, side = sum(_PICTURES.values()), case.image_px
    images = procedural_images(count, side, seed).permute(0, 2, 3, 1).numpy().copy()
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    splits = [split for split, number in _PICTURES.items() for _ in range(number)]
    rows = ["file,label,split"]
    for place, split in enumerate(splits):
        label, mask = place % 2, np.zeros((side, side), np.uint8)
        if label:
            square = slice(side // 4, side // 2)
            images[place][square, square] = 250
            mask[square, square] = 255
        Image.fromarray(images[place]).save(folder / "images" / f"{place}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{place}.png")
        rows.append(f"{place}.png,{label},{split}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _provision(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "central.cli", "provision", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise BenchmarkFailed(f"provision {arguments[0]} failed: {done.stderr.strip()}")


def _table(records: Iterable[Record]) -> Table:
    table = Table("task", "process", "peak MiB", "teacher's MiB", "of the teacher", "s of the whole path")
    for record in records:
        table.add_row(
            record.task,
            (record.method or "").partition(":")[0],
            f"{record.value / 2**20:,.0f}",
            f"{(record.baseline or 0) / 2**20:,.0f}",
            f"{record.ratio or 0:.1f}",
            f"{record.seconds or 0:,.0f}",
        )
    return table
