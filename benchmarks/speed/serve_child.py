"""One measurement of serving in a process of its own: twenty VGG-16s fit into a machine's memory once.

Started as `python -m benchmarks.speed.serve_child WHAT REPETITIONS CASE`; prints one JSON object. WHAT is
`time` (net and teachers in turns), `net` or `teachers` (memory of one alone, after it has answered).
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from typing import Any

import torch
from torch import nn

from benchmarks.quality.cost import Meter
from benchmarks.speed.child import resident_bytes
from benchmarks.speed.serve_nets import ServeCase, images_of, net_of, teachers_of, weight_bytes
from benchmarks.speed.stopwatch import in_turns
from benchmarks.speed.variants import Variant
from transplant.errors import BenchmarkFailed
from transplant.nets.allocator import keep_freed_memory
from transplant.nets.joint_routes import JointRoutes

_LEAST_S = {"vgg_small": 4.0, "vgg16": 0.0}
_LAST_CHARS = 500


def in_own_process(what: str, case: ServeCase, repetitions: int) -> dict[str, Any]:
    """Return the figures of one measurement.

    Raises:
        BenchmarkFailed: if the process ended without figures; the end of what it said is shown.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if what != "time":
        environment["MALLOC_MMAP_THRESHOLD_"] = "131072"  # what is freed is gone: what stays is needed
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.serve_child", what, str(repetitions), case.to_json()],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        told = done.stderr.strip()[-_LAST_CHARS:] or "nothing"
        raise BenchmarkFailed(
            f"{case.sentence()}, {what}: the process ended with {done.returncode} and said {told}"
        ) from error


@torch.no_grad()
def timed(case: ServeCase, repetitions: int) -> dict[str, Any]:
    """Return the seconds of one answer of the net and of its teachers, measured in turns.

    `lean` are the teachers once more, each run by the code that runs the net: what sharing wins alone.
    """
    keep_freed_memory()  # as every process that answers does
    net, teachers, images = net_of(case), teachers_of(case), images_of(case)

    lean = [JointRoutes([(f, nn.Identity(), g)]) for f, g in teachers]

    def ask_teachers() -> None:
        for f, g in teachers:
            g(f(images))

    def ask_lean() -> None:
        for teacher in lean:
            teacher.logits(images)

    told = in_turns(
        {
            "net": Variant(lambda: net.predict(images, task=case.task)),
            "teachers": Variant(ask_teachers),
            "lean": Variant(ask_lean),
        },
        repetitions,
        _LEAST_S[case.arch],
    )
    return {
        name: {"seconds": timing.seconds, "cpu_seconds": timing.cpu_seconds} for name, timing in told.items()
    }


@torch.no_grad()
def weighed(case: ServeCase, what: str) -> dict[str, Any]:
    """Return what the net or its teachers hold in memory and in files, after they have answered twice."""
    images = images_of(case)
    gc.collect()
    empty = resident_bytes()
    with Meter() as meter:
        if what == "net":
            net = net_of(case)
            routes = [net.assemble(line) for line in net.version.routes]
            for _ in range(2):
                net.predict(images, task=case.task)
        else:
            teachers = teachers_of(case)
            for _ in range(2):
                for f, g in teachers:
                    g(f(images))
            routes = [part for teacher in teachers for part in teacher]
    gc.collect()
    return {
        "resident_bytes": resident_bytes(),
        "empty_bytes": empty,
        "file_bytes": weight_bytes(list(routes)),
        "peak_rss_bytes": meter.figures()["peak_rss_bytes"],
    }


def main() -> None:
    """Run what the command line says."""
    what, repetitions, case = sys.argv[1], int(sys.argv[2]), ServeCase.from_json(sys.argv[3])
    torch.set_num_threads(1)
    figures = timed(case, repetitions) if what == "time" else weighed(case, what)
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
