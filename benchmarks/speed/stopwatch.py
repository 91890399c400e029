"""Variants timed in turns, so that whatever else the machine does hits all of them alike."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.speed.variants import Variant


@dataclass
class Timing:
    """Wall and CPU seconds of every repetition of one variant."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Return the median wall time."""
        return median(self.wall_s)

    @property
    def cpu_seconds(self) -> float:
        """Return the median CPU time of the process, all threads together."""
        return median(self.cpu_s)


def in_turns(
    variants: Mapping[str, Variant], repetitions: int, least_s: float = 0.0, warm_up: int = 1
) -> dict[str, Timing]:
    """Time every variant `repetitions` times, each round in the opposite order of the one before.

    Args:
        variants: by name.
        repetitions: rounds that count.
        least_s: more rounds are run until this much wall time is spent: short variants need many.
        warm_up: rounds before that do not count.
    """
    timings = {name: Timing() for name in variants}
    began_s, done = time.perf_counter(), -warm_up
    while done < repetitions or time.perf_counter() - began_s < least_s:
        names = list(variants) if done % 2 == 0 else list(variants)[::-1]
        for name in names:
            variants[name].before()
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            variants[name].run()
            cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
            if done >= 0:
                timings[name].wall_s.append(wall_s)
                timings[name].cpu_s.append(cpu_s)
        done += 1
    return timings
