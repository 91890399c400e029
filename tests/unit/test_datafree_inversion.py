"""Inverted images are answered as wanted, and with disclosed moments they look to f as the site's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from transplant.datafree.feature_statistics import collect_statistics
from transplant.datafree.inversion import invert, moment_error, noise_images
from transplant.datafree.nudging import random_answers
from transplant.datafree.procedural_images import procedural_images
from transplant.errors import InvalidSettings, SeamMismatch, TensorNotFinite
from transplant.nets.architecture_table import default_architecture
from transplant.nets.disclosures import ClassStatistics, DisclosedStatistics
from transplant.nets.measures import as_images
from transplant.nets.teacher_net import TeacherNet
from transplant.nets.transplant_net import freeze
from transplant.types import Disclosure, Task

COUNT = 48


@pytest.fixture(scope="module")
def teacher():
    net = TeacherNet(default_architecture("vgg_small", 32), list(Task))
    net.initialise(0)
    return freeze(net)


@pytest.fixture(scope="module")
def told(teacher):
    """A site whose images without the category are drawings, and those with it bright and flat."""
    images, labels = procedural_images(300, 32, 9, drawings=1.0), (torch.arange(300) % 2).to(torch.uint8)
    images[1::2] = 255 - images[1::2] // 2
    return collect_statistics(teacher.category_module, [(images, labels)], Disclosure.MOMENTS)


def _generator():
    return torch.Generator().manual_seed(4)


def _answers(teacher, images, task):
    return teacher.task_modules[task.value](teacher.category_module(as_images(images)))


def _correlation(a, b):
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


def _inverted(teacher, start, task, **knobs):
    f, g = teacher.category_module, teacher.task_modules[task.value]
    return invert(f, g, start, task, _generator(), **knobs)


@pytest.mark.parametrize(("task", "least"), [(Task.CLASSIFICATION, 0.9), (Task.SEGMENTATION, 0.4)])
@pytest.mark.parametrize("start", [noise_images, procedural_images])
def test_answers_move_to_the_wanted_ones(teacher, task, least, start):
    images = start(COUNT, 32, 1)
    wanted = random_answers(task, COUNT, 32, _generator())
    inverted = _inverted(teacher, images, task, steps=10)
    assert inverted.dtype == torch.uint8
    assert inverted.shape == images.shape
    answers = _answers(teacher, inverted, task)
    assert _correlation(answers, wanted) > least
    assert float(answers.std()) > 1.3 * float(_answers(teacher, images, task).std())


@pytest.mark.parametrize("task", list(Task))
def test_disclosed_moments_are_approached_and_classes_answered(teacher, told, task):
    images = noise_images(COUNT, 32, 1)
    f = teacher.category_module

    def errors(pictures):
        x = f(as_images(pictures))
        return [float(moment_error(x[label::2], one)) for label, one in enumerate(told.classes)]

    before = errors(images)
    without = errors(_inverted(teacher, images, task, steps=15))
    matched = _inverted(teacher, images, task, steps=15, statistics=told)
    after = errors(matched)
    for label in range(2):
        assert after[label] < 0.7 * before[label]
        assert after[label] < 0.7 * without[label]
    answers = _answers(teacher, matched, task).flatten(1).mean(1)
    assert float(answers[1::2].mean()) > float(answers[0::2].mean()) + 0.5 * float(answers.std())
    if task is Task.CLASSIFICATION:
        assert float(((answers > 0) == (torch.arange(COUNT) % 2 == 1)).float().mean()) > 0.8


@pytest.mark.parametrize("reach", [1.0, 4.0])
def test_a_batch_that_has_arrived_stops_early(teacher, reach):
    calls = []

    class Counted(nn.Module):
        def forward(self, x):
            calls.append(len(x))
            return teacher.task_modules["classification"](x)

    images = procedural_images(32, 32, 1)
    f, task = teacher.category_module, Task.CLASSIFICATION
    inverted = invert(f, Counted(), images, task, _generator(), steps=40, reach=reach)
    assert 3 < len(calls) < 25
    wanted = random_answers(task, 32, 32, _generator())
    assert _correlation(_answers(teacher, inverted, task), wanted) > 0.85


def test_smoothing_lowers_total_variation(teacher):
    images = noise_images(16, 32, 1)

    def variation(pictures):
        values = pictures.float()
        return float(values.diff(dim=2).abs().mean() + values.diff(dim=3).abs().mean())

    rough = _inverted(teacher, images, Task.CLASSIFICATION, steps=8, tv_weight=0.0)
    smooth = _inverted(teacher, images, Task.CLASSIFICATION, steps=8, tv_weight=0.5)
    assert variation(smooth) < 0.9 * variation(rough)


def test_the_same_seed_gives_the_same_images_and_no_step_changes_nothing(teacher, told):
    images = procedural_images(12, 32, 1)
    knobs = {"steps": 2, "statistics": told}
    first, second = (_inverted(teacher, images, Task.SEGMENTATION, **knobs) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(_inverted(teacher, images, Task.SEGMENTATION, steps=0), images)
    assert len(_inverted(teacher, images[:0], Task.CLASSIFICATION)) == 0


def test_mixed_precision_goes_the_same_way(teacher, told):
    images = procedural_images(24, 32, 1)
    knobs = {"steps": 6, "statistics": told}
    f = teacher.category_module
    full, half = (
        _inverted(teacher, images, Task.CLASSIFICATION, precision=precision, **knobs)
        for precision in ("float32", "bfloat16")
    )
    difference = (full.float() - half.float()).abs().mean()
    moved = (full.float() - images.float()).abs().mean()
    assert float(difference) < 0.5 * float(moved)
    assert float(moment_error(f(as_images(half))[1::2], told.classes[1])) < float(
        moment_error(f(as_images(images))[1::2], told.classes[1])
    )


def test_the_error_of_moments_is_zero_for_the_class_itself_only():
    x = torch.rand((20, 4, 3, 3), generator=_generator())
    values = x.transpose(0, 1).flatten(1)
    own = ClassStatistics(100, values.mean(1), torch.cov(values, correction=0))
    assert float(moment_error(x, own)) < 1e-4
    assert float(moment_error(x + 0.3, own)) > 0.3
    assert float(moment_error(x * 1.5, own)) > 0.3


def test_noise_is_a_function_of_its_seed_at_every_scale():
    images = noise_images(70, 32, 5)
    assert images.shape == (70, 3, 32, 32)
    assert torch.equal(images[:66], noise_images(66, 32, 5)), "more images leave the earlier ones alone"
    assert not torch.equal(images, noise_images(70, 32, 6))
    assert len(images.flatten(1).unique(dim=0)) == 70
    assert noise_images(0, 32, 5).shape == (0, 3, 32, 32)
    values = images.float()
    coarse = nn.functional.avg_pool2d(values, 8).std((2, 3)).mean()
    fine = (values - nn.functional.interpolate(nn.functional.avg_pool2d(values, 2), scale_factor=2)).std()
    assert float(coarse) > 5
    assert float(fine) > 5


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "knobs", [{"steps": -1}, {"reach": 0.0}, {"moment_weight": -1.0}, {"tv_weight": -1.0}]
)
def test_knobs_out_of_range_are_refused(teacher, knobs):
    with pytest.raises(InvalidSettings, match=next(iter(knobs))):
        _inverted(teacher, noise_images(2, 32, 0), Task.CLASSIFICATION, **knobs)


def test_statistics_of_another_category_module_are_refused(teacher):
    other = ClassStatistics(100, torch.zeros(8), torch.eye(8))
    statistics = DisclosedStatistics(Disclosure.MOMENTS, (other, other))
    with pytest.raises(SeamMismatch, match="8 channels"):
        _inverted(teacher, noise_images(2, 32, 0), Task.CLASSIFICATION, statistics=statistics)


def test_a_teacher_that_answers_nan_is_refused(teacher):
    class Broken(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :1] * float("nan")

    with pytest.raises(TensorNotFinite, match="train it anew and send it again"):
        invert(teacher.category_module, Broken(), noise_images(2, 32, 0), Task.CLASSIFICATION, _generator())
