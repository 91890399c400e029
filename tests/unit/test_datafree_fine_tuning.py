"""Fine-tuning makes a new task module that serves several categories, and leaves everything else alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes.tiny_nets import SMALL, tiny_net
from torch import nn

from transplant.datafree.fine_tuning import FineTuner, SharedRoute
from transplant.datafree.function_distillation import FunctionLearner
from transplant.errors import MergeNotPossible
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.learning import AdapterProblem, LearnerState, run_learner
from transplant.types import Task

CONFIG = LearnerConfig(
    method="function", layers=1, steps=60, batch=16, synthetic_images=192, held_out_images=96,
    learning_rate=2e-2, nudged_share=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def routes() -> tuple[SharedRoute, ...]:
    host = tiny_net(1)
    shared = host.task_modules["classification"]
    found = [SharedRoute("host", _problem(host, host), nn.Identity())]
    for seed, category in ((2, "second"), (3, "third")):
        problem = _problem(tiny_net(seed), host)
        learned = run_learner(FunctionLearner(), problem, replace(CONFIG, steps=12))
        found.append(SharedRoute(category, problem, learned.adapter))
    assert all(route.problem.host_task_module is shared for route in found)
    return tuple(found)


def _problem(teacher, host) -> AdapterProblem:
    return AdapterProblem(
        teacher.category_module, teacher.task_modules["classification"],
        host.task_modules["classification"], host.category_module, SMALL, SMALL, Task.CLASSIFICATION,
    )  # fmt: skip


def _weights(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def _tuned(routes: tuple[SharedRoute, ...], through_bytes_at: int = -1):
    tuner = FineTuner(routes)
    materials, state = tuner.prepare(CONFIG), tuner.init()
    while state.step < CONFIG.steps:
        if state.step == through_bytes_at:
            state = LearnerState.from_bytes(state.to_bytes())
        state, _ = tuner.step(CONFIG, materials, state)
    return tuner.finish(materials, state)


def test_the_new_module_serves_the_categories_better_and_nothing_else_moves(routes):
    nets = [module for route in routes for module in (
        route.adapter, route.problem.category_module, route.problem.host_task_module, route.problem.teacher,
    )]  # fmt: skip
    before = [_weights(net) for net in nets]
    tuned = _tuned(routes)
    for net, weights in zip(nets, before, strict=True):
        assert all(torch.equal(weights[name], tensor) for name, tensor in net.state_dict().items())
    assert tuned.before["host"]["agreement"] == 100.0, "g_S answers as itself"
    for category in ("second", "third"):
        assert tuned.after[category]["logit_r2"] > tuned.before[category]["logit_r2"], category
    assert tuned.worst_gain == min(
        tuned.after[name]["agreement"] - tuned.before[name]["agreement"] for name in tuned.before
    )
    assert not any(weight.requires_grad for weight in tuned.task_module.parameters())


def test_an_interrupted_fine_tuning_ends_with_the_same_bits(routes):
    whole, resumed = _tuned(routes), _tuned(routes, through_bytes_at=31)
    for name, tensor in whole.task_module.state_dict().items():
        assert torch.equal(tensor, resumed.task_module.state_dict()[name]), name


def test_one_category_or_two_task_modules_are_refused(routes):
    with pytest.raises(MergeNotPossible, match="two categories or more"):
        FineTuner(routes[:1])
    other = tiny_net(7)
    stranger = SharedRoute("other", _problem(tiny_net(8), other), nn.Identity())
    with pytest.raises(MergeNotPossible, match="one at a time"):
        FineTuner((routes[0], stranger))
