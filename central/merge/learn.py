"""Which learner a method name stands for, and the one call that learns a route's adapter."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from transplant.backdistill.closed_form import ClosedFormLearner
from transplant.backdistill.direct_learn import DirectLearner
from transplant.backdistill.distill import DistillLearner
from transplant.backdistill.jacobian_distill import JacobianDistillLearner
from transplant.backdistill.learn_adapter import BackDistillLearner
from transplant.datafree.function_distillation import FunctionLearner
from transplant.datafree.pipeline import TransplantLearner
from transplant.nets.learning import AdapterProblem, LearnedAdapter, Learner, run_learner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from transplant.nets.learner_config import LearnerConfig
    from transplant.types import Device

_LEARNERS: Mapping[str, Callable[[], Learner]] = MappingProxyType(
    {
        "transplant": TransplantLearner,
        "function": FunctionLearner,
        "closed-form": ClosedFormLearner,
        "back-distill": BackDistillLearner,
        "direct-learn": DirectLearner,
        "distill": DistillLearner,
        "jacobian-distill": JacobianDistillLearner,
    }
)


def learner_of(config: LearnerConfig) -> Learner:
    """Return the learner that `config.method` names."""
    return _LEARNERS[config.method]()


def learn_route(
    problem: AdapterProblem,
    config: LearnerConfig,
    *,
    device: Device,
    resume: bytes | None,
    save: Callable[[bytes], None],
    progress: Callable[[int, int, dict[str, float]], None],
    cancelled: Callable[[], bool],
) -> LearnedAdapter:
    """Learn the adapter of one route; see `transplant.nets.learning.run_learner`."""
    return run_learner(
        learner_of(config),
        problem,
        config,
        device=device,
        resume=resume,
        save=save,
        progress=progress,
        cancelled=cancelled,
    )
