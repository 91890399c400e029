"""The output folder of the quality benches: which settings its cells were run with, and every run into it.

Settings that are no part of a cell's name (epochs, steps, precision) must be the same for all cells of one
bench and data set in a folder, or finished cells would stand for others.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from transplant.artifact.durable_file import write_durably
from transplant.errors import BenchmarkFailed

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.machine import Machine
    from benchmarks.quality.plan import Plan
    from benchmarks.quality.run_cell import Setting

SETTINGS_FILE = "quality.json"
RUNS_FILE = "runs.jsonl"


def claim_folder(plan: Plan, setting: Setting) -> None:
    """Write the settings of this bench and data set down, or check that they are those of before.

    Raises:
        BenchmarkFailed: if the folder holds cells of other settings.
    """
    name = f"{plan.bench.value}/{plan.data}/{plan.arch}"
    mine = {"epochs": plan.epochs, "steps": plan.steps, "precision": plan.precision}
    claim_settings(setting.out, name, mine)
    if setting.proxy is not None:  # of no matter to cells that look at no public image
        claim_settings(setting.out, f"{name}/proxy", {"proxy": setting.proxy.name})


def claim_settings(out: Path, name: str, mine: dict[str, Any]) -> None:
    """Write settings down under a name, or check that they are those of before.

    Raises:
        BenchmarkFailed: if the folder holds cells of other settings under this name.
    """
    path = out / SETTINGS_FILE
    out.mkdir(parents=True, exist_ok=True)
    held: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    if held.setdefault(name, mine) != mine:
        raise BenchmarkFailed(
            f"{out} holds cells of {name} with {held[name]}, now asked are {mine}: choose another --out"
        )
    write_durably(path, json.dumps(held, indent=1, sort_keys=True).encode())


def note_run(out: Path, **facts: Any) -> None:
    """Append one run (command, machine, duration ...) to the folder's list."""
    with (out / RUNS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts, allow_nan=False) + "\n")


def note_cases(out: Path, machine: Machine, command: str, cases: int, began_s: float) -> None:
    """Append a run that measured `cases` since `began_s` (monotonic); one without any leaves no note."""
    if cases:
        seconds = round(time.monotonic() - began_s, 1)
        note_run(out, command=command, machine=machine.sentence(), cases=cases, seconds=seconds)


def runs_of(out: Path) -> list[dict[str, Any]]:
    """Return every run into the folder, oldest first."""
    path = out / RUNS_FILE
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
