"""A teacher that holds or answers NaN ends every method with one error that says what to do about it."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from fakes.tiny_nets import pca_statistics, strangers
from torch import Tensor, nn

from central.merge.learn import learner_of
from transplant.datafree.agreement import agreement
from transplant.datafree.nudging import nudge
from transplant.datafree.procedural_images import GENERATOR_ID, procedural_images
from transplant.datafree.sources import synthesise
from transplant.errors import TensorNotFinite
from transplant.nets.disclosures import ProbeAnswers, ProbeRequest
from transplant.nets.finite import check_finite, check_finite_net
from transplant.nets.learner_config import LABEL_FREE, METHODS, SOURCES, LearnerConfig
from transplant.nets.learning import AdapterProblem, LabelledSamples, run_learner
from transplant.types import Task

SMALL_WORK = LearnerConfig(
    layers=1, steps=2, batch=8, synthetic_images=32, held_out_images=16, nudged_share=0.0, masks=16
)


def _with_nan(net: nn.Module, name: str) -> nn.Module:
    """Return a copy of a net whose last tensor of this name holds one NaN."""
    broken = copy.deepcopy(net)
    tensors = [tensor for key, tensor in broken.state_dict().items() if key.endswith(name)]
    tensors[-1].view(-1)[0] = torch.nan
    return broken


def _labelled(problem: AdapterProblem) -> AdapterProblem:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (16, 3, 32, 32), generator=generator, dtype=torch.uint8)
    targets = (torch.arange(16) % 2).to(torch.uint8)
    if problem.task is Task.SEGMENTATION:
        targets = targets.view(-1, 1, 1).expand(-1, 32, 32).contiguous()
    return replace(problem, labelled=LabelledSamples(images, targets))


def _all_given(problem: AdapterProblem) -> AdapterProblem:
    """Return a problem with whatever any source needs."""
    generator = torch.Generator().manual_seed(0)
    public = torch.randint(0, 256, (32, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return replace(problem, statistics=pca_statistics(), proxy_images=public)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("place", ["weight", "bias"])
@pytest.mark.parametrize("method", LABEL_FREE)
def test_nan_in_a_task_module_ends_every_method_without_labels(method: str, place: str, task: Task) -> None:
    problem = strangers(task)
    problem = replace(problem, teacher_task_module=_with_nan(problem.teacher, place))
    config = replace(SMALL_WORK, method=method)
    with pytest.raises(TensorNotFinite, match="train it anew"):
        run_learner(learner_of(config), problem, config)


@pytest.mark.parametrize("method", METHODS)
def test_nan_in_a_task_module_ends_every_method_with_labels(method: str) -> None:
    problem = _labelled(strangers())
    problem = replace(problem, teacher_task_module=_with_nan(problem.teacher, "weight"))
    config = replace(SMALL_WORK, method=method)
    with pytest.raises(TensorNotFinite, match="train it anew"):
        run_learner(learner_of(config), problem, config)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "closed-form"])
def test_nan_in_a_category_module_ends_every_method_that_runs_it(method: str) -> None:
    problem = _labelled(strangers())
    problem = replace(problem, category_module=_with_nan(problem.category_module, "weight"))
    config = replace(SMALL_WORK, method=method)
    with pytest.raises(TensorNotFinite, match="train it anew"):
        run_learner(learner_of(config), problem, config)


@pytest.mark.parametrize("source", SOURCES)
def test_no_source_hands_on_answers_that_are_no_numbers(source: str) -> None:
    problem = _all_given(strangers())
    problem = replace(problem, teacher_task_module=_with_nan(problem.teacher, "bias"))
    with pytest.raises(TensorNotFinite, match="train it"):
        synthesise(problem, replace(SMALL_WORK, source=source))


def test_images_are_not_nudged_towards_answers_that_are_no_numbers() -> None:
    problem = strangers()
    problem = replace(problem, teacher_task_module=_with_nan(problem.teacher, "bias"))
    with pytest.raises(TensorNotFinite, match="synthetic"):
        nudge(problem, SMALL_WORK, procedural_images(8, 32, seed=0))


def test_answers_of_a_site_are_numbers() -> None:
    request = ProbeRequest(GENERATOR_ID, 3, 64, 8, 32, 50, 1, Task.CLASSIFICATION)
    chosen, codes = torch.arange(8, dtype=torch.int32), torch.zeros(8, dtype=torch.uint8)
    at_home = replace(
        strangers(),
        teacher_task_module=None,
        answers=ProbeAnswers(request, chosen, codes, float("nan"), 1.0),
    )
    with pytest.raises(TensorNotFinite, match="the site gave"):
        synthesise(at_home, SMALL_WORK)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_nothing_agrees_with_what_is_no_number(value: float) -> None:
    teacher = torch.linspace(-1, 1, 10)
    broken = teacher.clone()
    broken[3] = value
    with pytest.raises(TensorNotFinite, match="the teacher's answers"):
        agreement(teacher, broken)
    assert agreement(torch.full((10,), torch.nan), teacher)["agreement"] == 0.0


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_one_value_among_many_is_found(value: float) -> None:
    values = torch.rand(2, 3, 5, 5).to(memory_format=torch.channels_last)
    assert check_finite(values, "these") is values
    assert isinstance(check_finite(torch.empty(0), "none of these"), Tensor)
    values[1, 2, 3, 4] = value
    with pytest.raises(TensorNotFinite, match=r"^these hold NaN or an infinity"):
        check_finite(values, "these")
    net = nn.Linear(2, 2)
    check_finite_net(net, "this net")
    net.bias.data[1] = value
    with pytest.raises(TensorNotFinite, match=r"^the weights bias of this net"):
        check_finite_net(net, "this net")
