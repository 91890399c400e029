"""One whole merge at full size: the closed form, then function distillation from there; and the paper's."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.speed.nets import strangers_problem
from transplant.backdistill.closed_form import ClosedFormLearner
from transplant.backdistill.learn_adapter import BackDistillLearner
from transplant.datafree.function_distillation import FunctionLearner
from transplant.nets.learning import run_learner

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.speed.cases import Case

PAPER_STEPS = 300
"""Of the baseline; so many would take hours, so a few are measured and the rest is proportional."""
MEASURED_STEPS = 2


def merge(case: Case, progress: Callable[[str, int, int], None]) -> dict[str, float]:
    """Learn an adapter between two nets and return wall seconds of the phases and the learner's figures.

    Args:
        case: whose `steps` and `batch` are those of function distillation, `masks` that of the closed form.
        progress: called as (phase, steps done, steps in all).
    """
    problem = strangers_problem(case)
    began_s = time.perf_counter()
    start = run_learner(
        ClosedFormLearner(),
        problem,
        case.config("closed-form"),
        device=case.device,
        progress=lambda step, total, _: progress("closed form", step, total),
    )
    started_s = time.perf_counter()
    progress("synthetic images", 0, case.synthetic_images or 0)
    at_step_s: list[float] = []

    def stepped(step: int, total: int, _: dict[str, float]) -> None:
        at_step_s.append(time.perf_counter())
        progress("function distillation", step, total)

    learned = run_learner(
        FunctionLearner(start=start.adapter),
        problem,
        case.config("function"),
        device=case.device,
        progress=stepped,
    )
    ended_s = time.perf_counter()
    return {
        "seconds": ended_s - began_s,
        "closed_form_s": started_s - began_s,
        "synthesis_s": at_step_s[0] - started_s,
        "steps_s": at_step_s[-1] - at_step_s[0],
        "check_s": ended_s - at_step_s[-1],
        "agreement": learned.figures["agreement"],
    }


def papers_merge(case: Case, progress: Callable[[str, int, int], None]) -> dict[str, float]:
    """Return what `PAPER_STEPS` steps of iterative back-distillation take on the same two nets.

    The first step warms up, the next `MEASURED_STEPS` are measured.
    """
    problem = strangers_problem(case)
    at_step_s: list[float] = []

    def stepped(step: int, total: int, _: dict[str, float]) -> None:
        at_step_s.append(time.perf_counter())
        progress("the paper's learner", step, total)

    config = replace(case.config("back-distill"), steps=1 + MEASURED_STEPS)
    run_learner(BackDistillLearner(), problem, config, device=case.device, progress=stepped)
    return {"seconds": PAPER_STEPS * (at_step_s[-1] - at_step_s[1]) / MEASURED_STEPS}
