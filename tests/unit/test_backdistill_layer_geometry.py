"""g_S and g_T of different depth and width: one size of D', one place for each entry of G, first dummies."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes.tiny_nets import SMALL, tiny_net

from central.merge.learn import learner_of
from transplant.backdistill.gradient_pairs import gradient_pair
from transplant.backdistill.layer_geometry import shared_dummy, spaced_for, step_at_seam
from transplant.backdistill.pseudo_gradient import DummyMasks, DummyRule, pseudo_gradient
from transplant.nets.architecture_table import seam_of
from transplant.nets.architectures import build_task_module
from transplant.nets.learner_config import LABEL_FREE, LearnerConfig
from transplant.nets.learning import AdapterProblem, run_learner
from transplant.types import Architecture, Task


def _small(image_px: int, widths: tuple[int, ...], channels: int = 8) -> Architecture:
    sizes = (("image_px", (image_px,)), ("channels", (channels,)), ("widths", widths), ("hidden", (20,)))
    return Architecture("vgg_small", sizes)


DEEPER = _small(32, (12, 16, 16), channels=6)
WIDER = _small(32, (14, 18))
TINY_WORK = LearnerConfig(
    layers=2, steps=3, batch=4, masks=16, synthetic_images=48, held_out_images=16, nudged_share=0.25
)


def _apart(teacher: Architecture, host: Architecture, task: Task) -> AdapterProblem:
    learned, resident = tiny_net(1, teacher, (task,)), tiny_net(2, host, (task,))
    return AdapterProblem(
        learned.category_module,
        learned.task_modules[task.value],
        resident.task_modules[task.value],
        resident.category_module,
        teacher,
        host,
        task,
    )


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize(("teacher", "host"), [(DEEPER, SMALL), (SMALL, DEEPER), (WIDER, SMALL)])
@pytest.mark.parametrize("method", LABEL_FREE)
def test_every_method_without_labels_joins_nets_of_different_geometry(
    method: str, teacher: Architecture, host: Architecture, task: Task
) -> None:
    config = replace(TINY_WORK, method=method, dummy="second")
    adapter = run_learner(learner_of(config), _apart(teacher, host, task), config).adapter
    x = torch.rand(2, seam_of(teacher).channels, 16, 16)
    assert adapter(x).shape == (2, seam_of(host).channels, 16, 16)
    assert bool(adapter(x).isfinite().all())


@pytest.mark.parametrize("image_px", [32, 64])
def test_a_small_and_a_large_vgg_have_pseudo_gradients_of_one_size(image_px: int) -> None:
    small = _small(image_px, (12, 16) if image_px == 32 else (12, 16, 16))
    vgg16 = Architecture("vgg16", (("image_px", (image_px,)),))
    with torch.device("meta"):
        g_small, g_vgg16 = (build_task_module(each, Task.CLASSIFICATION) for each in (small, vgg16))
        gradient = torch.ones(2, 1, 7, 7)
        masks = DummyMasks(DummyRule.FIRST, torch.Generator())
        at_small = pseudo_gradient(g_small, spaced_for(g_small, g_vgg16, gradient), masks)
        at_vgg16 = pseudo_gradient(g_vgg16, spaced_for(g_vgg16, g_small, gradient), masks)
    assert at_small.shape[-2:] == at_vgg16.shape[-2:]
    assert at_vgg16.shape[-1] == image_px // 2 + 6 * 16, "the seam, and six steps of the coarser net"


def test_an_entry_of_g_speaks_of_one_window_of_the_seam_in_both_nets() -> None:
    finer, coarser = (build_task_module(each, Task.CLASSIFICATION) for each in (SMALL, DEEPER))
    assert (step_at_seam(finer), step_at_seam(coarser)) == (4, 8)
    gradient = torch.zeros(1, 1, 7, 7)
    gradient[0, 0, 2, 4] = 1.0
    seen = torch.zeros(64, 64, dtype=torch.bool)
    seen[16:32, 32:48] = True  # as large as the seam, two and four of the coarser net's steps on
    for one, other in ((finer, coarser), (coarser, finer)):
        masks = DummyMasks(DummyRule.FIRST, torch.Generator())
        at_seam = pseudo_gradient(one, spaced_for(one, other, gradient), masks)[0].abs().sum(0) > 0
        assert at_seam.shape == seen.shape
        assert bool(at_seam[seen].all())
        reach = torch.nonzero(at_seam)  # beyond the window, what the padding of the plain case cuts off
        middle = (reach.amin(0) + reach.amax(0)) / 2
        assert middle.tolist() == [23.5, 39.5]


def test_nets_of_one_geometry_keep_their_g_and_their_dummies() -> None:
    twins = [build_task_module(SMALL, Task.CLASSIFICATION) for _ in range(2)]
    gradient = torch.rand(2, 1, 7, 7)
    assert spaced_for(*twins, gradient) is gradient
    assert [shared_dummy(rule, *twins) for rule in DummyRule] == list(DummyRule)


def test_a_dummy_is_the_first_where_layers_differ_and_the_lowest_minds_no_channels() -> None:
    for task in Task:
        own, wider, deeper = (build_task_module(each, task) for each in (SMALL, WIDER, DEEPER))
        assert {shared_dummy(rule, own, deeper) for rule in DummyRule} == {DummyRule.FIRST}
        assert shared_dummy(DummyRule.SECOND, own, wider) is DummyRule.FIRST
        assert shared_dummy(DummyRule.LOWEST_SECOND, own, wider) is DummyRule.LOWEST_SECOND


def test_the_pair_of_unequal_nets_is_of_one_size() -> None:
    for task in Task:
        pair = gradient_pair(_apart(DEEPER, SMALL, task), TINY_WORK, 2, torch.Generator().manual_seed(0))
        assert pair[0].shape == (2, 8, *pair[1].shape[2:])
        assert pair[1].shape[1] == 6


def test_the_default_dummy_joins_nets_of_different_depth() -> None:
    config = replace(TINY_WORK, method="closed-form")
    learned = run_learner(learner_of(config), _apart(DEEPER, SMALL, Task.CLASSIFICATION), config)
    assert learned.figures["loss"] < 1, "of the first layer's normal equations: better than nothing"
