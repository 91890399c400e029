"""Run one variant of a case in a process of its own and hand on its progress and its figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.speed.cases import Subject
from transplant.errors import BenchmarkFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.speed.cases import Case

_LAST_LINES = 5


def in_fresh_process(
    case: Case, variant: str, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, Any]:
    """Return the figures of one variant: `seconds`, `cpu_seconds`, `peak_rss_bytes`, and its own.

    Args:
        case: what is measured.
        variant: `OURS` or `BASELINE`.
        progress: called as (phase, steps done, steps in all).

    Raises:
        BenchmarkFailed: if the process ended without figures; the last lines of what it said are shown.
    """
    command = [sys.executable, "-m", "benchmarks.speed.child", variant, case.to_json()]
    environment = {**os.environ, "OMP_NUM_THREADS": str(case.threads)}
    # Threads that wait for each other by spinning burn a core that another process would leave them: on a
    # busy machine that doubles the CPU time of a step and costs two thirds more wall time.
    environment.setdefault("OMP_WAIT_POLICY", "passive")
    if case.subject is not Subject.MERGE:
        environment["MALLOC_MMAP_THRESHOLD_"] = "131072"  # what is freed is gone: the peak is what is needed
    said: list[str] = []
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    figures: dict[str, Any] | None = None
    with child:
        for line in child.stdout or ():
            message = _message(line)
            if message is None:
                said.append(line.rstrip())
            elif "figures" in message:
                figures = message["figures"]
            elif progress is not None:
                progress(message["phase"], message["step"], message["total"])
    if child.returncode or figures is None:
        told = " / ".join(said[-_LAST_LINES:]) or "nothing"
        raise BenchmarkFailed(
            f"{case.sentence()}, {variant}: the process ended with {child.returncode} and said {told}"
        )
    return figures


def _message(line: str) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
