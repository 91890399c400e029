"""The planner alone in a fresh process: one plan for many sites, timed, with the process's peak memory.

Started as `python -m benchmarks.speed.planner_child SITES TASKS RESIDENTS`; prints one JSON object. The net
has the task modules of the first RESIDENTS sites, and every other site's every task is to be planned.
"""

from __future__ import annotations

import json
import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, cast

from benchmarks.quality.cost import Meter
from central.merge.hosts import residents_of
from central.merge.plan import plan
from central.merge.situation import CompleteTeacher, Ending, KnownMerge, PlanPolicy, Situation
from central.merge.tasks import learner_document
from transplant.errors import MergeNotPossible
from transplant.nets.learner_config import LearnerConfig
from transplant.types import Route, Seam

if TYPE_CHECKING:
    from central.merge.tasks import Host
    from transplant.types import Task

_SEAM = Seam(32, 32, 32)


def main() -> None:
    """Plan what the command line says."""
    sites, tasks, residents = map(int, sys.argv[1:4])
    situation = situation_of(sites, tasks, residents)
    policy = PlanPolicy(learner=learner_document(LearnerConfig().to_dict()))
    with Meter() as meter:
        began_s = time.perf_counter()
        planned = plan(situation, policy).tasks
        seconds = time.perf_counter() - began_s
    keys = {each.task.key for each in planned}
    if len(keys) < tasks * (sites - residents):
        raise MergeNotPossible(
            f"{len(keys)} different merges were planned for {sites} sites of {tasks} tasks"
        )
    figures = {**meter.figures(), "seconds": seconds, "planned": len(planned)}
    sys.stdout.write(json.dumps(figures) + "\n")


def situation_of(sites: int, tasks: int, residents: int) -> Situation:
    """Return a net with the task modules of the first sites, and everybody's complete teacher."""
    # The planner asks nothing of a task but its name: a bench may have more of them than nets do.
    named = cast("list[Task]", list(StrEnum("BenchTask", [f"task-{number}" for number in range(tasks)])))
    teachers = tuple(
        CompleteTeacher(
            f"f-{site}",
            f"site-{site}",
            f"c-{site}",
            f"f-{site}",
            tuple((task, f"g-{site}-{task}") for task in named),
        )
        for site in range(sites)
    )
    routes = tuple(
        Route(teacher.category, task, teacher.category_module, None, module, f"m-{module}")
        for teacher in teachers[:residents]
        for task, module in teacher.task_modules
    )
    merges = tuple(
        KnownMerge(
            route.merge_key,
            route.category_module,
            route.category,
            route.task,
            identity=True,
            ending=Ending.PUBLISHED,
        )
        for route in routes
    )
    seams = {teacher.category_module: _SEAM for teacher in teachers}
    return Situation(teachers, routes, merges, seams, residents_of(routes, _no_adapter))


def _no_adapter(merge_key: str) -> Host:
    raise MergeNotPossible(f"{merge_key} has no adapter here")


if __name__ == "__main__":
    main()
