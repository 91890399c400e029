"""Features drawn from disclosed statistics have the disclosed figures, and are features: never negative."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from transplant.datafree.channel_moments import ChannelMoments
from transplant.datafree.feature_sampling import rectified_normal, sample_features
from transplant.datafree.feature_statistics import collect_statistics
from transplant.datafree.procedural_images import procedural_images
from transplant.errors import DisclosureMissing, SeamMismatch
from transplant.nets.architecture_table import default_architecture, seam_of
from transplant.nets.teacher_net import TeacherNet
from transplant.nets.transplant_net import freeze
from transplant.types import Disclosure, Seam, Task

ARCHITECTURE = default_architecture("vgg_small", 32)
SEAM = seam_of(ARCHITECTURE)


@pytest.fixture(scope="module")
def told():
    net = TeacherNet(ARCHITECTURE, [Task.CLASSIFICATION])
    net.initialise(0)
    images, labels = procedural_images(400, 32, 3), (torch.arange(400) % 2).to(torch.uint8)
    images[1::2] = 255 - images[1::2] // 2
    return collect_statistics(freeze(net).category_module, [(images, labels)], Disclosure.PCA, directions=16)


def _draw(told, count, seed=0):
    return sample_features(told, SEAM, count, torch.Generator().manual_seed(seed))


def test_every_second_sample_shows_the_category_and_all_are_features(told):
    features, classes = _draw(told, 31)
    assert features.shape == (31, SEAM.channels, SEAM.height, SEAM.width)
    assert features.dtype == torch.float32
    assert classes.tolist() == [index % 2 for index in range(31)]
    assert float(features.min()) == 0
    again, _ = _draw(told, 31)
    other, _ = _draw(told, 31, seed=1)
    assert torch.equal(features, again)
    assert not torch.equal(features, other)


def test_samples_have_the_moments_of_their_class(told):
    features, classes = _draw(told, 2000)
    for label, one in enumerate(told.classes):
        own, other = features[classes == label], told.classes[1 - label]
        moments = ChannelMoments()
        moments.add(own)
        error_C = own.mean((2, 3)).std(0) / len(own) ** 0.5  # places of one sample go together
        assert float(((moments.mean_C - one.mean_C).abs() / error_C).max()) < 4.5
        error = float((moments.covariance_CC - one.covariance_CC).norm() / one.covariance_CC.norm())
        to_other = float((moments.covariance_CC - other.covariance_CC).norm() / other.covariance_CC.norm())
        assert error < 0.13
        assert error < 0.25 * to_other
        spread = one.covariance_CC.diagonal().max().sqrt()
        assert float((own.mean(0) - one.mean_map_CHW).abs().mean() / spread) < 0.05
        place = own[:, :, 7, 9]
        assert float(place.var(0).sum()) == pytest.approx(
            float(one.directions_KCHW[:, :, 7, 9].square().sum() + one.residual_C.sum()), rel=0.15
        )


def test_cutting_a_normal_at_zero_would_not_have_them(told):
    """Why m and s are solved for: the plain way is off by more than what the test above allows."""
    one = told.classes[0]
    variance = one.directions_KCHW.square().sum(0) + one.residual_C.view(-1, 1, 1)
    noise = torch.randn((300, *variance.shape), generator=torch.Generator().manual_seed(0))
    cut = (one.mean_map_CHW + noise * variance.sqrt()).clamp(min=0).mean((0, 2, 3))
    assert float(((cut - one.mean_C) / one.mean_C.clamp(min=1e-3)).max()) > 0.1


@pytest.mark.parametrize(
    ("mean", "deviation"), [(1.0, 1.0), (0.2, 1.0), (3.0, 1.0), (50.0, 1.0), (0.01, 0.05), (2.0, 0.0)]
)
def test_a_rectified_normal_has_the_wanted_mean_and_variance(mean, deviation):
    m, s = rectified_normal(torch.tensor([mean]), torch.tensor([deviation**2]))
    u = torch.randn(400_000, generator=torch.Generator().manual_seed(0))
    x = (m + s * u).clamp(min=0)
    assert float(x.mean()) == pytest.approx(mean, rel=0.03)
    assert float(x.std()) == pytest.approx(deviation, rel=0.05, abs=1e-6)


def test_a_dead_element_stays_dead():
    m, s = rectified_normal(torch.tensor([0.0, 0.0, -1.0]), torch.tensor([0.0, 1.0, 1.0]))
    assert m.tolist() == [0.0, 0.0, 0.0]
    assert s.tolist() == [0.0, 0.0, 0.0]


def test_an_element_that_is_hardly_ever_on_keeps_its_mean():
    m, s = rectified_normal(torch.tensor([1e-4]), torch.tensor([1.0]))
    x = (m + s * torch.randn(4_000_000, generator=torch.Generator().manual_seed(0))).clamp(min=0)
    assert float(x.mean()) == pytest.approx(1e-4, rel=0.1)


def test_moments_alone_cannot_be_sampled(told):
    bare = tuple(
        replace(one, mean_map_CHW=None, directions_KCHW=None, residual_C=None) for one in told.classes
    )
    with pytest.raises(DisclosureMissing, match="ask the site for pca"):
        sample_features(
            replace(told, level=Disclosure.MOMENTS, classes=bare), SEAM, 4, torch.Generator().manual_seed(0)
        )


def test_another_seam_is_refused(told):
    with pytest.raises(SeamMismatch, match="16x8x8"):
        sample_features(told, Seam(16, 8, 8), 4, torch.Generator().manual_seed(0))
