"""One variant alone in a fresh process: memory that an earlier variant had taken would count for this one.

Started as `python -m benchmarks.speed.child VARIANT CASE` by `benchmarks.speed.fresh_process`; speaks JSON,
one object a line: progress first, figures last.
"""

from __future__ import annotations

import gc
import json
import sys
from typing import Any

import torch

from benchmarks.quality.cost import Meter
from benchmarks.speed.cases import Case, Subject
from benchmarks.speed.merge import merge, papers_merge
from benchmarks.speed.variants import OURS, variants_of
from transplant.nets.allocator import keep_freed_memory


def main() -> None:
    """Run what the command line says."""
    variant, case = sys.argv[1], Case.from_json(sys.argv[2])
    torch.set_num_threads(case.threads)
    figures: dict[str, Any] = {}
    if case.subject is Subject.MERGE:
        keep_freed_memory()  # as the merge server does
        with Meter() as meter:
            figures = (merge if variant == OURS else papers_merge)(case, _tell_progress)
    else:
        chosen = variants_of(case)[variant]
        gc.collect()
        figures["resting_rss_bytes"] = resident_bytes()
        with Meter() as meter:
            chosen.before()
            made = chosen.run()
        del made
    _tell({"figures": {**meter.figures(), **figures}})


def resident_bytes() -> int:
    """Return the resident memory of this process now; 0 where /proc does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - one file of the kernel's
            return int(file.read().split()[1]) * 4096
    except OSError:
        return 0


def _tell_progress(phase: str, step: int, total: int) -> None:
    _tell({"phase": phase, "step": step, "total": total})


def _tell(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
