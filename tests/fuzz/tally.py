"""What a run of the fuzzer came to, as records that a claim can be held against."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.records import Record, RecordBook

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_RUNS, _SEED = "-runs=", "-seed="


@dataclass
class Tally:
    """Counts of one run. A finding ends it, so that no count of findings is above one."""

    executions: int = 0
    crashes: int = 0
    hangs: int = 0
    growths: int = 0
    slowest_s: float = 0.0
    grown_bytes: int = 0


def seeded(flags: Sequence[str]) -> tuple[list[str], int, int]:
    """Return libFuzzer's flags with a seed in them, the seed, and how many runs are asked for (-1: all)."""
    seed = next((int(flag.removeprefix(_SEED)) for flag in flags if flag.startswith(_SEED)), 0)
    seed = seed or secrets.randbelow(1 << 31) + 1
    runs = next((int(flag.removeprefix(_RUNS)) for flag in flags if flag.startswith(_RUNS)), -1)
    return [*(flag for flag in flags if not flag.startswith(_SEED)), f"{_SEED}{seed}"], seed, runs


def write_records(folder: Path, target: str, tally: Tally, seed: int, method: str) -> None:
    """Add the records of a run to those in a folder."""
    counted = {
        "fuzz_executions": tally.executions,
        "fuzz_crashes": tally.crashes,
        "fuzz_hangs": tally.hangs,
        "fuzz_growths": tally.growths,
    }
    book = RecordBook(folder)
    about = {"data": target, "method": method, "seed": seed}
    for metric, value in counted.items():
        book.add(Record("fuzz", metric, value, "count", **about))
    book.add(Record("fuzz", "fuzz_slowest_cpu", tally.slowest_s, "s", **about))
    book.add(Record("fuzz", "fuzz_memory", tally.grown_bytes, "bytes", **about))
