"""Which learner a method name stands for, and the one call that learns a route's adapter."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from transplant.backdistill.closed_form import ClosedFormLearner
from transplant.backdistill.learn_adapter import BackDistillLearner
from transplant.datafree.function_distillation import FunctionLearner
from transplant.errors import InvalidSettings
from transplant.nets.learning import AdapterProblem, LearnedAdapter, Learner, LearnerConfig, run_learner

if TYPE_CHECKING:
    from collections.abc import Callable

METHODS = ("function", "closed-form", "back-distill", "direct-learn")


def learner_of(config: LearnerConfig) -> Learner:
    """Return the learner that `config.method` names.

    Raises:
        InvalidSettings: naming the methods that exist.
    """
    if config.method == "function":
        return FunctionLearner()
    if config.method == "closed-form":
        return ClosedFormLearner()
    if config.method in ("back-distill", "direct-learn"):
        return BackDistillLearner()
    raise InvalidSettings(f"no method {config.method!r}; there are {', '.join(METHODS)}")


def learn_route(
    problem: AdapterProblem,
    config: LearnerConfig,
    *,
    resume: bytes | None,
    save: Callable[[bytes], None],
    progress: Callable[[int, int, dict[str, float]], None],
    cancelled: Callable[[], bool],
) -> LearnedAdapter:
    """Learn the adapter of one route; see `transplant.nets.learning.run_learner`.

    `direct-learn` is the paper's learner without the distillation term (lambda = 0).
    """
    if config.method == "direct-learn":
        config = replace(config, weight=0.0)
    return run_learner(
        learner_of(config), problem, config, resume=resume, save=save, progress=progress, cancelled=cancelled
    )
