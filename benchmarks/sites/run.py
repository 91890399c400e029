"""One run of a federated bench, from its plan to its records."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.machine import this_machine
from benchmarks.quality.folder import claim_settings, note_run
from benchmarks.records import RecordBook
from benchmarks.sites.in_process import InProcess
from benchmarks.sites.run_cell import Cell, run_cell, stages_of
from benchmarks.sites.run_join import beside_fedavg
from benchmarks.sites.run_kept import Kept
from benchmarks.sites.run_methods import OURS, SPENDS_LABELS, contenders_of
from benchmarks.sites.run_screen import shown
from benchmarks.sites.scenarios import Scenario, ScenarioFlags, categories_in_play, federation_of
from benchmarks.sites.scenarios_attendance import Attendance
from transplant.errors import BenchmarkFailed, InvalidSettings, TransplantError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from benchmarks.records import Record
    from benchmarks.sites.contender import Training
    from benchmarks.sites.federation import Federation
    from benchmarks.sites.run_rounds import Carrier
    from benchmarks.sites.run_screen import Screen

ENGINES = ("flower", "local")
_SITE_FILES = "site-data"


@dataclass(frozen=True)
class SitesPlan:
    """What is to be run: every method on the federation of every seed and alpha.

    Args:
        flags: the federations but for their seed and alpha.
        seeds: of federations.
        alphas: of `dirichlet`; (None,) elsewhere.
        methods: contenders by name.
        training: what all of them are given alike.
        labels: how many of its labels a site spends on a refinement.
        duplicates: where several sites offer a category: "best" or "average".
        founders: of `joining`, how many categories are there before others join.
        dropout: see `Attendance`, like the next two.
        stragglers: share of slow sites.
        late: share of sites that join late.
    """

    flags: ScenarioFlags
    seeds: tuple[int, ...]
    alphas: tuple[float | None, ...]
    methods: tuple[str, ...]
    training: Training
    labels: int = 0
    duplicates: str = "best"
    founders: int = 2
    dropout: float = 0.0
    stragglers: float = 0.0
    late: float = 0.0

    def federations(self) -> list[ScenarioFlags]:
        """Return the flags of every federation."""
        return [replace(self.flags, alpha=alpha, seed=seed) for alpha in self.alphas for seed in self.seeds]

    def attendance(self, seed: int) -> Attendance:
        """Return who is there when; late joiners come at half time, or at the second round."""
        half_time = max(2, 1 + self.training.rounds // 2)
        return Attendance(seed, self.dropout, self.stragglers, self.late, half_time)

    def cells(self, flags: ScenarioFlags, categories: int) -> list[Cell]:
        """Return the cells of one federation."""
        stages = stages_of(flags.scenario, categories, self.founders)
        return [
            Cell(flags, self.training.arch, method, stages, self.labels if method in SPENDS_LABELS else None)
            for method in self.methods
        ]

    def settings(self) -> dict[str, object]:
        """Return what is no part of a cell's name, so that one folder holds cells of one kind."""
        training, flags = self.training, self.flags
        return {
            "epochs": training.local_epochs,
            "rounds": training.rounds,
            "steps": training.center_steps,
            "batch": training.batch_size,
            "learning_rate": training.learning_rate,
            "precision": training.precision,
            "images": flags.images,
            "skew": flags.skew,
            "test": flags.test,
            "public": flags.public,
            "duplicates": self.duplicates,
            "founders": self.founders if flags.scenario is Scenario.JOINING else None,
            "dropout": self.dropout,
            "stragglers": self.stragglers,
            "late": self.late,
        }


@dataclass(frozen=True)
class RunFlags:
    """How a plan is run; nothing of it changes an outcome.

    Args:
        engine: "flower" or "local".
        workers: sites side by side, on Flower.
        timeout_s: of a round, on Flower.
        command: what was typed, for the list of runs.
    """

    engine: str = "flower"
    workers: int = 2
    timeout_s: float = 3600.0
    command: str = ""

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise InvalidSettings(f"--engine is {' or '.join(ENGINES)}; got {self.engine!r}")
        if self.workers < 1 or self.timeout_s <= 0:
            raise InvalidSettings("--workers must be at least 1 and --timeout over 0")


def run_sites(plan: SitesPlan, flags: RunFlags, out: Path, console: Console, root: Path | None) -> int:
    """Run every cell of a plan that `out` has not yet; return how many were run.

    Args:
        plan: what.
        flags: how.
        out: folder of records, and of the teachers that several methods share.
        console: where progress is shown.
        root: folder of the data packs; scenes need none.

    Raises:
        InvalidSettings: for an impossible plan.
        BenchmarkFailed: if the folder belongs to other settings, or cells failed (all of them named).
    """
    contenders_of(
        plan.methods, plan.flags.data, plan.duplicates, plan.labels
    )  # says so at once where one is unknown
    federations = {each: plan.cells(each, len(categories_in_play(each, root))) for each in plan.federations()}
    machine = this_machine()
    name = f"sites/{plan.flags.scenario}/{plan.flags.data}/{plan.training.arch}"
    claim_settings(out, name, dict(plan.settings()))
    book = RecordBook(out)
    left = {each: _unfinished(cells, book) for each, cells in federations.items()}
    count, total = sum(map(len, left.values())), sum(map(len, federations.values()))
    console.print(f"{total} cells, {total - count} finished before", highlight=False)
    began_s, faults = time.monotonic(), list[str]()
    with shown(console, count) as screen:
        for each, cells in left.items():
            if cells:
                run = _FederationRun(plan, flags, out, root, each, cells, book, screen, machine.commit)
                faults += run.run()
    for record in beside_fedavg(book, OURS):
        book.add(record)
    if count:
        note_run(
            out, command=flags.command, machine=machine.sentence(), bench=plan.flags.scenario.value,
            data=plan.flags.data, seeds=list(plan.seeds), cells=count - len(faults), engine=flags.engine,
            workers=flags.workers, threads=plan.training.threads,
            seconds=round(time.monotonic() - began_s, 1),
        )  # fmt: skip
    if faults:
        raise BenchmarkFailed("\n  ".join([f"{len(faults)} cells failed:", *faults]))
    return count


@dataclass(frozen=True)
class _FederationRun:
    """All cells of one federation, on one engine."""

    plan: SitesPlan
    how: RunFlags
    out: Path
    root: Path | None
    flags: ScenarioFlags
    cells: list[Cell]
    book: RecordBook
    screen: Screen
    commit: str

    def run(self) -> list[str]:
        """Return what went wrong with which cell; a cell that fails leaves the others alone."""
        federation = federation_of(self.flags, self.root)
        self.screen.say(_described(federation, self.flags))
        threads = self.plan.training.threads
        if self.how.engine == "local":
            return self._contend(federation, InProcess(federation.sites, threads, self.screen.site_done))
        from benchmarks.sites.flower_engine import simulated  # Flower and Ray take seconds to import

        folder = self.out / _SITE_FILES / self.flags.digest
        try:
            return simulated(
                federation.sites,
                folder,
                lambda carrier: self._contend(federation, carrier),
                workers=self.how.workers,
                threads=threads,
                timeout_s=self.how.timeout_s,
                told=self.screen.site_done,
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # a function of the flags, made again when wanted

    def _contend(self, federation: Federation, carrier: Carrier) -> list[str]:
        contenders = contenders_of(
            [cell.method for cell in self.cells], self.flags.data, self.plan.duplicates, self.plan.labels
        )
        # Hundreds of sites' teachers are not worth their disk where hardly any other method asks for them.
        scale = self.flags.scenario is Scenario.SCALE
        kept = carrier if scale else Kept(carrier, self.out / "kept", self._held_by_sites())
        faults: list[str] = []
        for cell in self.cells:
            began_s = time.monotonic()
            try:
                records = run_cell(
                    cell,
                    federation,
                    contenders[cell.method],
                    self.plan.training,
                    kept,
                    self.plan.attendance(self.flags.seed),
                    self.screen.say,
                    self.commit,
                )
            except TransplantError as error:
                faults.append(f"{cell.sentence()}: {error.code()}: {error}")
                self.screen.cell_done(f"FAILED {faults[-1]}")
                continue
            for record in records:
                self.book.add(record)
            self.screen.cell_done(_said(cell, records, time.monotonic() - began_s))
        return faults

    def _held_by_sites(self) -> str:
        """Return a name of what lies at the sites: test and public pictures are no part of it."""
        return replace(self.flags, test=1, public=0).digest


def _unfinished(cells: list[Cell], book: RecordBook) -> list[Cell]:
    return [cell for cell in cells if not all(book.has(record) for record in cell.expected())]


def _described(federation: Federation, flags: ScenarioFlags) -> str:
    sizes = sorted(len(site) for site in federation.sites)
    alpha = "" if flags.alpha is None else f" alpha {flags.alpha:g}"
    return (
        f"{flags.scenario}{alpha} on {flags.data}, seed {flags.seed}: {len(sizes)} sites of {sizes[0]} to "
        f"{sizes[-1]} pictures, {len(federation.categories)} categories, {len(federation.test)} test pictures"
    )


def _said(cell: Cell, records: list[Record], seconds: float) -> str:
    last = {record.metric: record.value for record in records if record.categories == cell.stages[-1]}
    return (
        f"{cell.sentence()}: accuracy {last['multi_category_accuracy']:.2f} %, category error "
        f"{last['category_error']:.2f} %, {last['bytes_up'] / 2**20:.2f} MiB up, "
        f"{last['bytes_down'] / 2**20:.2f} MiB down, {seconds:.1f} s"
    )
