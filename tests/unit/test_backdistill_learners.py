"""The closed form recovers what is known; depth costs nothing; the paper's learner lowers its loss."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from transplant.backdistill.closed_form import ClosedFormLearner
from transplant.backdistill.learn_adapter import BackDistillLearner
from transplant.errors import CheckpointInvalid, InvalidSettings, MergeCancelled, SeamMismatch
from transplant.nets.architectures import default_architecture
from transplant.nets.learning import AdapterProblem, LabelledSamples, LearnerConfig, run_learner
from transplant.nets.teacher_net import TeacherNet
from transplant.nets.transplant_net import freeze
from transplant.types import Architecture, Task

SMALL = Architecture(
    "vgg_small", (("image_px", (32,)), ("channels", (8,)), ("widths", (12, 16)), ("hidden", (20,)))
)


def _net(seed: int) -> TeacherNet:
    net = TeacherNet(SMALL, list(Task))
    net.initialise(seed)
    return freeze(net)


def _same_net(task: Task, reorder: tuple[int, ...]) -> AdapterProblem:
    net = _net(3)
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


def test_direct_learn_fits_the_labels_it_is_given() -> None:
    net, host = _net(1), _net(2)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (24, 3, 32, 32), generator=generator, dtype=torch.uint8)
    targets = (torch.arange(24) % 2).to(torch.uint8)
    images[targets == 1, 0] = 255
    problem = AdapterProblem(
        net.category_module,
        net.task_modules["classification"],
        host.task_modules["classification"],
        host.category_module,
        SMALL,
        SMALL,
        Task.CLASSIFICATION,
        labelled=LabelledSamples(images, targets),
    )
    losses: list[float] = []
    config = LearnerConfig(weight=0.0, steps=80, batch=24, learning_rate=1e-2)
    run_learner(
        BackDistillLearner(),
        problem,
        config,
        progress=lambda _s, _t, figures: losses.extend(figures.values()),
    )
    assert losses[-1] < 0.5 * losses[0]


def test_faults_are_typed() -> None:
    problem = _same_net(Task.CLASSIFICATION, tuple(range(8)))
    with pytest.raises(InvalidSettings, match="labelled"):
        run_learner(BackDistillLearner(), problem, LearnerConfig(weight=0.0))
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
