"""Class statistics: exact and streamed, of many images only, and not believed when they come by wire."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transplant.datafree.channel_moments import ChannelMoments
from transplant.datafree.feature_statistics import MINIMUM_SAMPLES, clip_features, collect_statistics
from transplant.datafree.procedural_images import procedural_images
from transplant.datafree.statistics_tensors import statistics_from_tensors, statistics_to_tensors
from transplant.errors import DatasetInvalid, InvalidSettings, PayloadMalformed, TensorNotFinite
from transplant.nets.architecture_table import default_architecture, seam_of
from transplant.nets.measures import as_images
from transplant.nets.teacher_net import TeacherNet
from transplant.nets.transplant_net import freeze
from transplant.types import Disclosure, Seam, Task

ARCHITECTURE = default_architecture("vgg_small", 32)
SEAM = seam_of(ARCHITECTURE)


def _category_module():
    net = TeacherNet(ARCHITECTURE, [Task.CLASSIFICATION])
    net.initialise(0)
    return freeze(net).category_module


def _labelled(count):
    """Pictures, of which those with label 1 are brighter."""
    images = procedural_images(count, 32, seed=3)
    labels = (torch.rand(count, generator=torch.Generator().manual_seed(1)) < 0.4).to(torch.uint8)
    images[labels == 1] = 255 - images[labels == 1] // 2
    return images, labels


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(any),
    channels=st.integers(1, 6),
    offset=st.floats(-1000, 1000),
    spread=st.floats(0.01, 100),
    seed=st.integers(0, 2**31),
)
def test_merged_moments_are_those_of_the_whole(sizes, channels, offset, spread, seed):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn((sum(sizes), channels, 3, 2), generator=generator, dtype=torch.float64)
    features = features * spread + offset
    moments = ChannelMoments()
    for part in features.split(sizes):
        moments.add(part)
    values = features.transpose(0, 1).flatten(1)
    centred = values - values.mean(1, keepdim=True)
    exact = centred @ centred.T / values.shape[1]
    assert moments.count == values.shape[1]
    torch.testing.assert_close(moments.mean_C, values.mean(1), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        moments.covariance_CC, exact, rtol=1e-9, atol=1e-9 * float(exact.diagonal().max())
    )
    torch.testing.assert_close(
        moments.variance_C, exact.diagonal(), rtol=1e-9, atol=1e-9 * float(exact.diagonal().max())
    )
    assert torch.equal(moments.covariance_CC, moments.covariance_CC.T)
    assert float(torch.linalg.eigvalsh(moments.covariance_CC)[0]) >= -1e-12 * float(exact.trace())


def test_the_mean_of_a_far_away_cloud_costs_no_digits():
    features = torch.randn((500, 3, 2, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    near, far = ChannelMoments(), ChannelMoments()
    for part in features.split(50):
        near.add(part)
        far.add(part + 2**20)
    torch.testing.assert_close(far.covariance_CC, near.covariance_CC, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("level", [Disclosure.MOMENTS, Disclosure.PCA])
def test_each_class_gets_its_own_figures_whatever_the_batches(level):
    f, (images, labels) = _category_module(), _labelled(300)
    told = collect_statistics(f, [(images, labels)], level, directions=8)
    again = collect_statistics(f, zip(images.split(41), labels.split(41), strict=True), level, directions=8)
    assert told.level is level
    for label, (one, same) in enumerate(zip(told.classes, again.classes, strict=True)):
        x = f(as_images(images[labels == label])).double()
        values = x.transpose(0, 1).flatten(1)
        assert one.sample_count == same.sample_count == int((labels == label).sum())
        torch.testing.assert_close(one.mean_C.double(), values.mean(1), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(
            one.covariance_CC.double(), torch.cov(values, correction=0), rtol=1e-4, atol=1e-5
        )
        torch.testing.assert_close(same.covariance_CC, one.covariance_CC)
        assert (one.mean_map_CHW is not None) == (level is Disclosure.PCA)
        if one.mean_map_CHW is not None:
            torch.testing.assert_close(one.mean_map_CHW.double(), x.mean(0), rtol=1e-4, atol=1e-5)
            assert one.directions_KCHW.shape == (8, SEAM.channels, SEAM.height, SEAM.width)
    assert not torch.allclose(told.classes[0].mean_C, told.classes[1].mean_C, rtol=0.05)


def test_clipping_bounds_every_image_and_touches_no_other():
    x = torch.randn((20, 5, 4, 4), generator=torch.Generator().manual_seed(0)) * torch.arange(1, 21).view(
        -1, 1, 1, 1
    )
    clipped = clip_features(x, 10.0)
    norms = clipped.square().sum(1).mean((1, 2)).sqrt()
    assert float(norms.max()) <= 10.0 * (1 + 1e-6)
    assert float(clipped.min()) == 0
    small = x.clamp(min=0).square().sum(1).mean((1, 2)).sqrt() < 10
    assert 0 < int(small.sum()) < 20
    torch.testing.assert_close(clipped[small], x[small].clamp(min=0))


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("level", [Disclosure.NONE, Disclosure.SCALE])
def test_levels_without_class_statistics_are_refused(level):
    with pytest.raises(InvalidSettings, match="collect moments or pca"):
        collect_statistics(torch.nn.Identity(), [], level)


@pytest.mark.parametrize("knobs", [{"directions": 0}, {"directions": 500}, {"clip_norm": 0.0}])
def test_knobs_out_of_range_are_refused(knobs):
    with pytest.raises(InvalidSettings, match=next(iter(knobs))):
        collect_statistics(torch.nn.Identity(), [], Disclosure.PCA, **knobs)


def test_a_class_of_few_images_is_refused():
    images, labels = procedural_images(250, 32, 0), torch.zeros(250, dtype=torch.uint8)
    labels[: MINIMUM_SAMPLES - 1] = 1
    with pytest.raises(DatasetInvalid, match=r"100 images with the category .* has 99"):
        collect_statistics(_category_module(), [(images, labels)], Disclosure.MOMENTS)


def test_directions_that_would_be_portraits_are_refused():
    images, labels = procedural_images(220, 32, 0), (torch.arange(220) % 2).to(torch.uint8)
    with pytest.raises(DatasetInvalid, match="at most 55"):
        collect_statistics(_category_module(), [(images, labels)], Disclosure.PCA, directions=56)


@pytest.mark.parametrize("labels", [torch.full((4,), 2), torch.zeros(3), torch.zeros(4, 1)])
def test_labels_that_do_not_fit_are_refused(labels):
    batch = torch.zeros(4, 3, 32, 32, dtype=torch.uint8), labels.to(torch.uint8)
    with pytest.raises(DatasetInvalid, match="label"):
        collect_statistics(_category_module(), [batch], Disclosure.MOMENTS)


def test_features_that_are_no_numbers_are_refused():
    f, (images, labels) = _category_module(), _labelled(250)
    with torch.no_grad():
        f.layers[2].bias[0] = float("nan")
    with pytest.raises(TensorNotFinite, match="train it again"):
        collect_statistics(f, [(images, labels)], Disclosure.MOMENTS)


# --- as tensors ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def told():
    images, labels = _labelled(300)
    return collect_statistics(_category_module(), [(images, labels)], Disclosure.PCA, directions=4)


@pytest.mark.parametrize("level", [Disclosure.MOMENTS, Disclosure.PCA])
def test_tensors_come_back_as_the_same_statistics(told, level):
    if level is Disclosure.MOMENTS:
        bare = tuple(
            replace(one, mean_map_CHW=None, directions_KCHW=None, residual_C=None) for one in told.classes
        )
        told = replace(told, level=level, classes=bare, epsilon=2.0, delta=0.25)
    tensors = statistics_to_tensors(told)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32, torch.int32}
    again = statistics_from_tensors(tensors, level, SEAM)
    assert (again.level, again.epsilon, again.delta) == (told.level, told.epsilon, told.delta)
    repeated = statistics_to_tensors(again)
    assert repeated.keys() == tensors.keys()
    assert all(torch.equal(repeated[name], tensors[name]) for name in tensors)


def _without_the_maps(tensors):
    return {name: tensor for name, tensor in tensors.items() if "mean_map" not in name}


def _changed(name, change):
    def apply(tensors):
        return tensors | {name: change(tensors[name].clone())}

    return apply


def _minus_identity(tensor):
    return tensor - torch.eye(len(tensor))


def _lopsided(tensor):
    tensor[0, 1] += tensor.diagonal().max()
    return tensor


def _one_nan(tensor):
    tensor.view(-1)[3] = float("nan")
    return tensor


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without_the_maps, "lack tensors .* 0.mean_map"),
        (lambda tensors: tensors | {"2.mean": torch.zeros(1)}, "strange ones: 2.mean"),
        (_changed("0.mean", lambda t: t[:-1]), r"0.mean has .*\(31,\)"),
        (_changed("0.mean", lambda t: t.double()), "float64"),
        (_changed("1.sample_count", lambda t: t * 0 + 99), "1.sample_count is 99"),
        (_changed("1.covariance", _minus_identity), "not positive semidefinite"),
        (_changed("1.covariance", _lopsided), "not symmetric"),
        (_changed("0.residual", lambda t: -t), "negative variance"),
        (_changed("0.residual", lambda t: t + 1), "do not add up"),
        (_changed("0.mean_map", lambda t: t + 1), "another mean"),
        (_changed("0.directions", lambda t: t[:0]), "holds 0"),
        (_changed("1.directions", lambda t: t[:, :, :8]), "1.directions has"),
        (_changed("epsilon", lambda t: t - 1), "is not an"),
        (_changed("delta", lambda t: t + 1), "is not an"),
    ],
)
def test_spoiled_statistics_are_refused(told, spoil, message):
    with pytest.raises(PayloadMalformed, match=message):
        statistics_from_tensors(spoil(statistics_to_tensors(told)), Disclosure.PCA, SEAM)


@pytest.mark.parametrize("name", ["0.mean", "1.covariance", "0.directions", "1.mean_map"])
def test_figures_that_are_no_numbers_are_refused(told, name):
    tensors = _changed(name, _one_nan)(statistics_to_tensors(told))
    with pytest.raises(TensorNotFinite, match=name):
        statistics_from_tensors(tensors, Disclosure.PCA, SEAM)


def test_a_level_that_is_not_there_and_a_strange_seam_are_refused(told):
    tensors = statistics_to_tensors(told)
    with pytest.raises(PayloadMalformed, match="send moments or pca"):
        statistics_from_tensors(tensors, Disclosure.SCALE, SEAM)
    with pytest.raises(PayloadMalformed, match=r"strange ones: 0\.directions"):
        statistics_from_tensors(tensors, Disclosure.MOMENTS, SEAM)
    with pytest.raises(PayloadMalformed, match=r"0.mean has"):
        statistics_from_tensors(tensors, Disclosure.PCA, Seam(16, 16, 16))
