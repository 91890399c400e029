"""`transplant-bench chaos`, `chaos resume`, `chaos load` and `chaos growth`."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from transplant.errors import BenchmarkFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.records import Record

chaos = typer.Typer(
    invoke_without_command=True,
    help="Hurt a real server and its sites in every way there is, and look whether a promise was broken.",
)

Out = Annotated[Path, typer.Option(help="folder of the records; runs are made in folders below it")]
Seed = Annotated[int, typer.Option(help="of the schedule of faults")]
RegistryUrl = Annotated[
    str | None, typer.Option(help="an empty PostgreSQL database for the registry; default: SQLite")
]
_OUT = Path("build/chaos")


@chaos.callback()
def faults(
    context: typer.Context,
    out: Out = _OUT,
    seed: Seed = 0,
    sites: Annotated[int, typer.Option(min=1, help="each a process of its own")] = 40,
    faults: Annotated[int, typer.Option(min=0, help="how many")] = 200,
    modules: Annotated[int, typer.Option(min=3, help="that a site makes at most")] = 60,
    merging: Annotated[int, typer.Option(min=0, help="sites that ask for merges")] = 4,
    mean_gap_s: Annotated[float, typer.Option(help="between two faults")] = 1.0,
    disk_mib: Annotated[
        int, typer.Option(min=0, help="of the server's small disk, a tmpfs (needs root); 0: none")
    ] = 1024,
    registry_url: RegistryUrl = None,
    restart_database: Annotated[
        str, typer.Option(help="shell command that restarts the database; default: it is not restarted")
    ] = "",
    ray: Annotated[bool, typer.Option("--ray", help="learn merges by Ray, and kill its workers")] = False,
    drain_s: Annotated[float, typer.Option(help="that sites may take after the last fault")] = 300.0,
) -> None:
    """Inject random faults, let all heal, and check every promise; a broken one is an error."""
    if context.invoked_subcommand is not None:
        return
    from benchmarks.chaos.report import chaos_records  # torch takes seconds: --help should not
    from benchmarks.chaos.run import Outcome, Size, run_chaos

    size = Size(
        sites, faults, seed, modules, merging, mean_gap_s, disk_mib, registry_url,
        partial(_restart, restart_database) if restart_database else None, ray,
        drain_s,
    )  # fmt: skip
    if _is_known(out, chaos_records(size, Outcome(), "")[0]):
        return
    folder, tell, console = _begin(out, "faults")
    outcome = run_chaos(size, folder, tell)
    told = [each.sentence() for each in outcome.violations]
    missed = f", {len(outcome.missed)} faults found nothing to hurt" if outcome.missed else ""
    console.print(f"disk: {outcome.disk}; the observer looked {outcome.looks} times{missed}")
    _end(out, folder, console, lambda commit: chaos_records(size, outcome, commit), outcome.seconds, told)


@chaos.command()
def resume(
    out: Out = _OUT,
    seed: Seed = 0,
    kills: Annotated[int, typer.Option(min=1, help="of server and site, by chance")] = 50,
    mib: Annotated[int, typer.Option(min=1, max=32, help="size of a module")] = 32,
    rate_mib_s: Annotated[float, typer.Option(min=0.1, help="of the link")] = 24.0,
) -> None:
    """Kill -9 either side at random moments of large uploads; durable bytes sent again are an error."""
    from benchmarks.chaos.report import resume_records
    from benchmarks.chaos.resume import ResumeOutcome, run_resume

    if _is_known(out, resume_records(ResumeOutcome(server_kills=kills), seed, "")[0]):
        return
    folder, tell, console = _begin(out, "resume")
    outcome = run_resume(kills, seed, mib, folder, tell, rate_mib_s=rate_mib_s)
    told = outcome.faults()
    _end(out, folder, console, lambda commit: resume_records(outcome, seed, commit), outcome.seconds, told)


@chaos.command()
def load(
    out: Out = _OUT,
    connections: Annotated[int, typer.Option(min=1, help="sites that are connected at once")] = 500,
    modules: Annotated[int, typer.Option(min=1, help="of all sites together")] = 2000,
    registry_url: RegistryUrl = None,
) -> None:
    """Let many sites send small modules at once; a call that fails in the end is an error."""
    from benchmarks.chaos.load import LoadOutcome, run_load
    from benchmarks.chaos.load_site import Timings
    from benchmarks.chaos.report import load_records

    if _is_known(out, load_records(LoadOutcome(Timings()), connections, modules, registry_url, "")[0]):
        return
    folder, tell, console = _begin(out, "load")
    outcome = run_load(connections, modules, folder, tell, registry_url)
    told = outcome.timings.errors[:20]
    wanted = len(outcome.timings.commit_s)
    if outcome.registered != wanted:
        told.append(f"{outcome.registered} modules are registered, {wanted} were committed")
    seconds = outcome.sending_s + outcome.deciding_s
    _end(
        out, folder, console,
        lambda commit: load_records(outcome, connections, modules, registry_url, commit), seconds, told,
    )  # fmt: skip


@chaos.command()
def growth(
    out: Out = _OUT,
    seed: Seed = 0,
    merges: Annotated[int, typer.Option(min=2, help="of tiny nets, two tasks a category")] = 100,
    kills: Annotated[int, typer.Option(min=0, help="of center, worker and Ray's head, in equal parts")] = 20,
    steps: Annotated[int, typer.Option(min=1, help="of each merge")] = 60,
    workers: Annotated[int, typer.Option(min=1, help="of Ray")] = 2,
) -> None:
    """Kill -9 the center, workers and all of Ray while a net grows; another net in the end is an error."""
    from benchmarks.chaos.growth import GrowthOutcome, run_growth_chaos
    from benchmarks.chaos.report import growth_records
    from benchmarks.speed.growth.material import GrowthSize

    size = GrowthSize(max(1, merges // 2), steps=steps, checkpoint_every=max(1, steps // 6))
    if _is_known(out, growth_records(GrowthOutcome(size.merges), kills, seed, "")[0]):
        return
    folder, tell, console = _begin(out, "growth")
    outcome = run_growth_chaos(size, kills, seed, workers, folder, tell)
    _end(
        out, folder, console,
        lambda commit: growth_records(outcome, kills, seed, commit), outcome.seconds, outcome.faults,
    )  # fmt: skip


def _restart(command: str) -> None:
    """Run the operator's command; a database that does not come back ends the run."""
    done = subprocess.run(command, shell=True, check=False, capture_output=True, text=True)  # noqa: S602
    if done.returncode:
        raise BenchmarkFailed(f"--restart-database ended with {done.returncode}: {done.stderr.strip()}")


def _is_known(out: Path, first: Record) -> bool:
    """Tell whether a run is in the folder already; it is shown then, and not made again."""
    from benchmarks.chaos.report import table
    from benchmarks.records import RecordBook

    book = RecordBook(out)
    if not book.has(first):
        return False
    told = [each for each in book if (each.bench, each.seed) == (first.bench, first.seed)]
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(table(told), f"this run is in {out} already; another --out or --seed makes another one")
    return True


def _begin(out: Path, name: str) -> tuple[Path, Callable[[str], None], Console]:
    """Return a new folder for a run, a voice that says how far it is, and the console."""
    out.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    began_s = time.monotonic()
    folder = Path(mkdtemp(prefix=f"{name}-", dir=out.resolve()))

    def tell(said: str) -> None:
        console.print(f"  {time.monotonic() - began_s:6.0f} s  {said}")

    return folder, tell, console


def _end(
    out: Path,
    folder: Path,
    console: Console,
    records_of: Callable[[str], Sequence[Record]],
    seconds: float,
    broken: list[str],
) -> None:
    """Write the records, show them, clear the folder of a run that went well.

    Raises:
        BenchmarkFailed: with everything that was broken; the run's folder stays, and has its records.
    """
    import shutil

    from benchmarks.chaos.report import table
    from benchmarks.machine import this_machine
    from benchmarks.quality.folder import note_run
    from benchmarks.records import RecordBook

    machine = this_machine()
    records, book = records_of(machine.commit), RecordBook(folder if broken else out)
    for record in records:
        book.add(record)
    command = shlex.join(["transplant-bench", *sys.argv[1:]])
    note_run(out, command=command, machine=machine.sentence(), cases=len(records), seconds=round(seconds, 1))
    console.print(table(records))
    if broken:
        raise BenchmarkFailed("\n  ".join([f"{len(broken)} promises broken [{folder}]:", *broken]))
    shutil.rmtree(folder)
