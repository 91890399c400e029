"""Memory follows pixels: large images go through nets in smaller chunks, small ones as they always did."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes.tiny_nets import strangers

from benchmarks.speed.double_backward import linear_answers
from transplant.backdistill.closed_form import ClosedFormLearner
from transplant.backdistill.pseudo_gradient import DummyMasks, DummyRule, pseudo_gradient, random_mask
from transplant.datafree import sources
from transplant.datafree.feature_statistics import collect_statistics
from transplant.datafree.function_distillation import FunctionLearner
from transplant.datafree.procedural_images import procedural_images
from transplant.nets.architecture_table import default_architecture
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.learning import run_learner
from transplant.nets.pixel_budget import images_at_once
from transplant.types import Disclosure, Task


@pytest.mark.parametrize(
    ("image_px", "backward", "forward"),
    [(32, 128, 256), (64, 128, 256), (128, 32, 64), (224, 10, 20), (2048, 1, 1)],
)
def test_chunks_shrink_with_the_size_of_images(image_px: int, backward: int, forward: int) -> None:
    assert images_at_once(image_px) == backward
    assert images_at_once(image_px, 256, 1 << 20) == forward


def test_answers_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = strangers()
    synthetic = sources.Synthetic(procedural_images(10, 32, 0), torch.rand(3, 8, 16, 16), torch.empty(13))
    whole = synthetic.answers_of(problem, problem.teacher)
    monkeypatch.setattr(sources, "images_at_once", lambda _side: 4)
    torch.testing.assert_close(synthetic.answers_of(problem, problem.teacher), whole)
    assert whole.shape == (13, 1)


def test_features_that_do_not_fit_give_way_to_images(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = (torch.arange(240) % 2).to(torch.uint8)
    f = strangers().category_module
    told = collect_statistics(f, [(procedural_images(240, 32, 1), labels)], Disclosure.PCA, directions=2)
    problem = replace(strangers(), statistics=told)
    config = LearnerConfig(
        method="function", source="pca", blend=0.5, synthetic_images=40, held_out_images=8, nudged_share=0.0
    )
    roomy, _ = sources.synthesise(problem, config)
    assert (len(roomy.images), len(roomy.features)) == (20, 20)
    monkeypatch.setattr(sources, "_FEATURES_BYTES", 6 * 4 * 8 * 16 * 16)
    tight, _ = sources.synthesise(problem, config)
    assert (len(tight.images), len(tight.features)) == (34, 6)
    assert len(tight.answers) == 40


def test_vgg16_merges_from_the_closed_form_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "images_at_once", lambda _side: 3)
    problem = strangers(architecture=default_architecture("vgg16", 32), tasks=[Task.CLASSIFICATION])
    config = LearnerConfig(
        method="function", layers=2, masks=17, enlarged_side=1, steps=2, batch=2,
        synthetic_images=8, held_out_images=8,
    )  # fmt: skip
    start = run_learner(ClosedFormLearner(), problem, config)
    learned = run_learner(FunctionLearner(start=start.adapter), problem, config)
    assert learned.adapter.chain[0].weight.shape == (64, 64, 3, 3)
    assert not torch.equal(learned.adapter.chain[0].weight, start.adapter.chain[0].weight)
    assert 0 <= learned.figures["agreement"] <= 100


@pytest.mark.parametrize("side", [1, 3])
def test_vgg16_fully_connected_layers_run_backwards_as_convolutions(side: int) -> None:
    module = strangers(architecture=default_architecture("vgg16", 64), tasks=[Task.CLASSIFICATION]).teacher
    gradient = torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ours = pseudo_gradient(module, gradient, DummyMasks(DummyRule.FIRST, torch.Generator()))
    x = torch.zeros(2, 64, 32 + 16 * (side - 1), 32 + 16 * (side - 1), requires_grad=True)
    (wanted,) = torch.autograd.grad(linear_answers(module, x, {}), x, gradient)
    torch.testing.assert_close(ours, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_masks_have_their_share_everywhere_and_no_pattern(share: float) -> None:
    mask = random_mask(1 << 16, share, torch.Generator().manual_seed(0))
    values = mask.to(torch.float32).view(256, 256)
    assert mask.dtype == torch.uint8
    assert int(mask.max()) == 1
    assert float(values.mean()) == pytest.approx(share, abs=0.01)
    for dim in (0, 1):
        assert float((values.mean(dim) - share).abs().max()) < 0.15
    centred = values.flatten() - share
    for lag in (1, 8, 64, 128, 8192):  # bytes of a word, words, and the copies of a word
        assert abs(float((centred[lag:] * centred[:-lag]).mean())) < 0.01
    assert len(random_mask(77, share, torch.Generator().manual_seed(0))) == 77
