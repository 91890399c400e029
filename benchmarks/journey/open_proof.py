"""Proof from the audit logs: nothing of a site was opened by anyone but that site.

Each process of the federation writes every file it opens (`transplant.backends.open_audit`) into the
folder of its owner, and its children inherit that, the Ray workers among them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transplant.errors import BenchmarkFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

HARNESS = "harness"
"""The owner name of the process that runs the journey: it is audited like the others."""

# What a site's report and a center's address are written for: being read by others.
_PUBLIC_NAMES = frozenset({"report.json", "serve.json"})


@dataclass(frozen=True)
class OpenProof:
    """What the logs say: how many opens were seen of each owner, and which were not allowed."""

    opens: Mapping[str, int]
    foreign: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Tell whether no process opened what is not its own."""
        return not self.foreign


def prove_opens(logs: Path, homes: Mapping[str, Path], shared: Mapping[str, frozenset[str]]) -> OpenProof:
    """Check every logged open.

    Args:
        logs: one folder an owner, with one file of JSON lines a process.
        homes: owner -> a folder that is its own alone (the center has one too).
        shared: folder -> the owners that may read it (a data pack that several sites take their
            own category from).

    Raises:
        BenchmarkFailed: if a log is missing or broken, so that nothing is proved.
    """
    opens: dict[str, int] = {}
    foreign: list[str] = []
    allowed = {str(home.resolve()): frozenset({owner}) for owner, home in homes.items()}
    allowed |= {str(Path(folder).resolve()): owners for folder, owners in shared.items()}
    for owner in (*homes, HARNESS):
        files = sorted((logs / owner).glob("*.jsonl"))
        opens[owner] = 0
        for path in _opened(files):
            opens[owner] += 1
            if not _is_allowed(owner, path, allowed):
                foreign.append(f"{owner} opened {path}")
        # Each owner opens files of its own all the time: silence means that the audit was not on.
        if opens[owner] == 0:
            raise BenchmarkFailed(f"no open of {owner} was logged below {logs}: the audit was not running")
    return OpenProof(opens, tuple(dict.fromkeys(foreign)))


def _opened(files: list[Path]) -> list[str]:
    paths: list[str] = []
    for file in files:
        lines = file.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                paths.append(str(Path(json.loads(line)["path"]).resolve()))
            except (ValueError, KeyError, TypeError) as fault:
                if number == len(lines):  # the process was killed in the middle of its last line
                    continue
                raise BenchmarkFailed(f"{file}, line {number}, is not an audit record: {fault}") from fault
    return paths


def _is_allowed(owner: str, path: str, allowed: Mapping[str, frozenset[str]]) -> bool:
    if owner == HARNESS and Path(path).name in _PUBLIC_NAMES:
        return True
    matches = [
        owners for folder, owners in allowed.items() if path == folder or path.startswith(folder + "/")
    ]
    return all(owner in owners for owners in matches)
