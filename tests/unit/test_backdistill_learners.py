"""The closed form recovers what is known; depth costs nothing; the paper's learner lowers its loss."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes.tiny_nets import SMALL, strangers, tiny_net
from torch import nn

from central.merge.learn import learner_of
from transplant.backdistill.closed_form import ClosedFormLearner
from transplant.backdistill.jacobian_distill import JacobianDistillLearner
from transplant.backdistill.learn_adapter import BackDistillLearner
from transplant.backdistill.sampled_learner import Draw
from transplant.errors import (
    CheckpointInvalid,
    InvalidSettings,
    MergeCancelled,
    MergeNotPossible,
    SeamMismatch,
)
from transplant.nets.architecture_table import default_architecture
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.learning import AdapterProblem, LabelledSamples, new_adapter, run_learner
from transplant.types import Task


def _same_net(task: Task, reorder: tuple[int, ...]) -> AdapterProblem:
    net = tiny_net(3)
    head = net.task_modules[task.value]
    return AdapterProblem(
        net.category_module, head, head, net.category_module, SMALL, SMALL, task, 1.0, 1.0, reorder=reorder
    )


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("layers", [1, 3])
def test_closed_form_recovers_a_known_permutation(task: Task, kernel: int, layers: int) -> None:
    order = tuple(torch.randperm(8, generator=torch.Generator().manual_seed(5)).tolist())
    config = LearnerConfig(layers=layers, kernel=kernel, dummy="second", enlarged_side=1, masks=128)
    learned = run_learner(ClosedFormLearner(alpha=1.0), _same_net(task, order), config)
    x = torch.rand(4, 8, 16, 16)  # what a ReLU and a pool hand over is not negative
    torch.testing.assert_close(learned.adapter(x), x, rtol=0, atol=1e-4)
    assert learned.figures["loss"] == pytest.approx(0, abs=1e-4)


def test_three_layers_start_bit_for_bit_where_one_layer_ends() -> None:
    order = (3, 1, 2, 0, 7, 6, 5, 4)
    problem = _same_net(Task.CLASSIFICATION, order)
    outputs = []
    for layers in (1, 3):
        config = LearnerConfig(layers=layers, dummy="second", enlarged_side=1, masks=32)
        adapter = run_learner(ClosedFormLearner(alpha=1.0), problem, config).adapter
        outputs.append(adapter(torch.rand(4, 8, 16, 16, generator=torch.Generator().manual_seed(0))))
    assert torch.equal(outputs[0], outputs[1])


def test_back_distillation_lowers_its_loss_and_resumes_to_the_same_adapter() -> None:
    problem = _same_net(Task.CLASSIFICATION, tuple(range(8)))
    config = LearnerConfig(
        layers=1,
        kernel=1,
        dummy="second",
        enlarged_side=1,
        steps=60,
        checkpoint_every=25,
        batch=16,
        learning_rate=3e-2,
    )
    losses: list[float] = []
    saved: list[bytes] = []
    whole = run_learner(
        BackDistillLearner(),
        problem,
        config,
        save=saved.append,
        progress=lambda _step, _total, figures: losses.extend(figures.values()),
    )
    assert losses[-1] < 0.2 * losses[0]
    assert len(saved) == 2
    resumed = run_learner(BackDistillLearner(), problem, config, resume=saved[-1])
    for name, tensor in whole.adapter.state_dict().items():
        assert torch.equal(tensor, resumed.adapter.state_dict()[name]), name


def _labelled_strangers(task: Task, count: int = 24) -> AdapterProblem:
    """Return two nets trained apart, and labelled images on which the teacher's answer shows in the red."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    targets = (torch.arange(count) % 2).to(torch.uint8)
    images[targets == 1, 0] = 255
    if task is Task.SEGMENTATION:
        targets = targets.view(-1, 1, 1).expand(-1, 32, 32).contiguous()
        targets[:, :4] = 255  # void
    return replace(strangers(task), labelled=LabelledSamples(images, targets))


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("method", ["direct-learn", "distill", "jacobian-distill", "back-distill"])
def test_methods_with_labels_lower_their_task_loss(method: str, task: Task) -> None:
    figures: list[dict[str, float]] = []
    config = LearnerConfig(
        method=method, steps=50, batch=16, learning_rate=1e-2, layers=2, dummy="first", weight=1.0
    )
    _learn(_labelled_strangers(task), config, figures)
    terms = {"direct-learn": {"task"}}.get(method, {"task", "distillation"})
    assert set(figures[-1]) == terms
    assert figures[-1]["task"] < 0.8 * figures[0]["task"]


@pytest.mark.parametrize("task", list(Task))
def test_real_gradients_agree_where_the_adapter_is_transparent_and_nowhere_else(task: Task) -> None:
    problem = _same_net(task, tuple(range(8)))
    features = torch.rand(4, 8, 16, 16, generator=torch.Generator().manual_seed(2))
    config = LearnerConfig(method="jacobian-distill", layers=2)
    adapter, _ = new_adapter(problem, config, 1.0)

    def term() -> torch.Tensor:
        logits = problem.host_task_module(adapter(features))
        draw = Draw(features, torch.zeros(4, dtype=torch.uint8), logits)
        generator = torch.Generator().manual_seed(0)
        learner = JacobianDistillLearner()
        return learner.sample_terms(problem, config, adapter, draw, generator)["distillation"]

    assert float(term().detach()) == pytest.approx(0, abs=1e-6)
    adapter.start_near_transparent(0.8, 0.5, torch.Generator().manual_seed(1))
    term().backward()
    assert float(term().detach()) > 0.1
    assert all(
        float(p.grad.abs().sum()) > 0 for p in adapter.parameters() if p.grad is not None and p.ndim > 1
    )
    assert adapter.chain[0].weight.grad is not None


def _learn(problem: AdapterProblem, config: LearnerConfig, figures: list[dict[str, float]]) -> None:
    run_learner(
        learner_of(config),
        problem,
        config,
        progress=lambda _step, _total, told: figures.append(told) if told else None,
    )


@pytest.mark.parametrize("method", ["direct-learn", "distill", "jacobian-distill"])
def test_methods_that_need_labels_say_so(method: str) -> None:
    with pytest.raises(InvalidSettings, match=f"^{method} needs labelled"):
        _learn(_same_net(Task.CLASSIFICATION, tuple(range(8))), LearnerConfig(method=method), [])


@pytest.mark.parametrize("method", ["distill", "jacobian-distill", "back-distill"])
def test_methods_that_run_the_teacher_say_what_to_do_where_it_stays_at_home(method: str) -> None:
    problem = replace(_labelled_strangers(Task.CLASSIFICATION), teacher_task_module=None)
    with pytest.raises(MergeNotPossible, match="answers"):
        _learn(problem, LearnerConfig(method=method), [])


def test_faults_are_typed() -> None:
    problem = _same_net(Task.CLASSIFICATION, tuple(range(8)))
    with pytest.raises(InvalidSettings, match="there are transplant"):
        learner_of(LearnerConfig(method="magic"))
    with pytest.raises(InvalidSettings, match="steps"):
        LearnerConfig(steps=-1)
    with pytest.raises(InvalidSettings, match="unknown"):
        LearnerConfig.from_dict({"stepz": 3})
    with pytest.raises(CheckpointInvalid):
        run_learner(BackDistillLearner(), problem, LearnerConfig(), resume=b"not a state")
    with pytest.raises(MergeCancelled):
        run_learner(BackDistillLearner(), problem, LearnerConfig(), cancelled=lambda: True)
    larger = default_architecture("vgg_small", 64)
    with pytest.raises(SeamMismatch, match="32x32x32"):
        AdapterProblem(
            nn.Identity(), nn.Identity(), nn.Identity(), nn.Identity(), SMALL, larger, Task.SEGMENTATION
        )
