"""One way of growing, alone in a fresh process.

Started as `python -m benchmarks.speed.growth.child WAY WORKERS HOME SIZE` by
`benchmarks.speed.growth.measure`; speaks JSON, one object, last. WAY is ray or local.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.growth.growing import growing
from benchmarks.speed.growth.material import GrowthSize, places, request
from transplant.types import Task


def grow(way: str, workers: int, home: Path, size: GrowthSize) -> dict[str, Any]:
    """Return the seconds of the growth behind the warm-up, and when how many routes were published."""
    settings = size.settings(home, runner=way, workers=workers)
    with growing(size, settings) as center:
        center.warm_up()
        began_s, began_cpu_s = time.time(), time.process_time()
        names = size.names()
        request(center.center, names)
        requested_s = time.time() - began_s
        seen = center.wait_for(places(size, names))
        with center.center.registry.read() as books:
            versions = books.versions.newest_number()
            keys = [route.merge_key for route in books.versions.get().routes if route.category in names]
    costs = [center.center.workshop.bench(key).cost() for key in keys]
    return {
        "busy_s": sum(cost.seconds for cost in costs),
        "learning_cpu_s": sum(cost.cpu_seconds for cost in costs),
        "seconds": seen[-1][0] - began_s,
        "requested_s": requested_s,
        "center_cpu_s": time.process_time() - began_cpu_s,
        "published": [(at_s - began_s, count) for at_s, count in seen],
        "versions": versions,
    }


def main() -> None:
    """Run what the command line says."""
    way, workers, home, size = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), size_from_json(sys.argv[4])
    torch.set_num_threads(1)  # as a serving center does
    sys.stdout.write(json.dumps(grow(way, workers, home, size)) + "\n")
    sys.stdout.flush()


def size_to_json(size: GrowthSize) -> str:
    """Return one line of text."""
    return json.dumps(asdict(size))


def size_from_json(line: str) -> GrowthSize:
    """Rebuild from `size_to_json`."""
    fields: dict[str, Any] = json.loads(line)
    return GrowthSize(**fields | {"tasks": tuple(map(Task, fields["tasks"]))})


if __name__ == "__main__":
    main()
