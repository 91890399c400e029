"""The Gaussian mechanism: delta by integration, sensitivity by neighbours, and what comes out."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transplant.datafree.channel_moments import ChannelMoments
from transplant.datafree.feature_statistics import clip_features, collect_statistics
from transplant.datafree.privacy import (
    gaussian_delta,
    gaussian_mechanism,
    gaussian_sigma,
    nearest_covariance,
)
from transplant.datafree.procedural_images import procedural_images
from transplant.datafree.statistics_tensors import statistics_from_tensors, statistics_to_tensors
from transplant.errors import InvalidSettings
from transplant.nets.architecture_table import default_architecture, seam_of
from transplant.nets.disclosures import ClassStatistics, DisclosedStatistics
from transplant.nets.teacher_net import TeacherNet
from transplant.nets.transplant_net import freeze
from transplant.types import Disclosure, Task

BUDGETS = [(0.1, 1e-5), (0.5, 1e-6), (1.0, 1e-5), (3.0, 1e-7), (10.0, 1e-5), (50.0, 1e-3)]


def _integrated_delta(sigma: float, sensitivity: float, epsilon: float) -> float:
    """Return int max(0, p - e^epsilon q) of two normal laws `sensitivity` apart: what delta means."""
    x = torch.linspace(-14 * sigma, 14 * sigma + sensitivity, 400_001, dtype=torch.float64)
    log_p = -((x / sigma) ** 2) / 2
    log_q = -(((x - sensitivity) / sigma) ** 2) / 2
    more = (log_p.exp() - (epsilon + log_q).exp()).clamp(min=0) / (sigma * math.sqrt(2 * math.pi))
    return float(torch.trapezoid(more, x))


@pytest.mark.parametrize(("epsilon", "delta"), BUDGETS)
@pytest.mark.parametrize("sensitivity", [2 / 5000, 1.0, 30.0])
def test_the_deviation_gives_just_the_delta_that_was_asked_for(epsilon, delta, sensitivity):
    sigma = gaussian_sigma(sensitivity, epsilon, delta)
    assert gaussian_delta(sigma, sensitivity, epsilon) <= delta
    assert _integrated_delta(sigma, sensitivity, epsilon) == pytest.approx(delta, rel=1e-4)
    assert _integrated_delta(0.99 * sigma, sensitivity, epsilon) > delta * 1.005, (
        "less noise breaks the promise"
    )


def test_less_noise_than_the_classical_calibration():
    for epsilon, delta in ((0.1, 1e-5), (0.9, 1e-6)):
        classical = math.sqrt(2 * math.log(1.25 / delta)) / epsilon
        assert gaussian_sigma(1.0, epsilon, delta) < 0.95 * classical


def test_the_smallest_and_the_largest_budget_stay_numbers():
    assert 0 < gaussian_sigma(1.0, 1000.0, 1e-9) < 0.1
    assert 1e4 < gaussian_sigma(1.0, 1e-4, 1e-12) < 1e6


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31), st.integers(1, 4), st.sampled_from([0.0, 0.6, 0.95]), st.sampled_from([0.3, 2.0])
)
def test_replacing_an_image_moves_the_query_by_no_more_than_the_sensitivity(seed, channels, sparsity, clip):
    generator = torch.Generator().manual_seed(seed)
    count = 5
    x = torch.rand((count + 1, channels, 2, 2), generator=generator) * 9
    x *= torch.rand(x.shape, generator=generator) >= sparsity
    x = clip_features(x, clip).double()

    def query(part):
        moments = ChannelMoments()
        moments.add(part)
        second = moments.covariance_CC + torch.outer(moments.mean_C, moments.mean_C)
        return torch.cat([moments.mean_C / clip, second.flatten() / clip**2])

    assert float((query(x[:count]) - query(x[1:])).norm()) <= 2 / count * (1 + 1e-6)


def test_the_sensitivity_is_reached():
    """Images of one channel each, orthogonal: no smaller bound would hold."""
    clip, count = 1.0, 4
    x = torch.zeros(count, 2, 1, 1, dtype=torch.float64)
    x[:, 0] = clip
    other = x.clone()
    other[0, 0], other[0, 1] = 0, clip
    queries = []
    for part in (x, other):
        values = part.flatten(1).T
        queries.append(torch.cat([values.mean(1), (values @ values.T / count).flatten()]))
    assert float((queries[0] - queries[1]).norm()) == pytest.approx(2 / count)


# --- the mechanism on statistics -----------------------------------------------------------------

CLIP = 4.0


def _statistics(count: int = 4000) -> DisclosedStatistics:
    generator = torch.Generator().manual_seed(0)
    classes = []
    for label in range(2):
        x = torch.randn((200, 6, 4, 4), generator=generator).relu() * (1 + label)
        moments = ChannelMoments()
        moments.add(clip_features(x, CLIP))
        classes.append(ClassStatistics(count, moments.mean_C.float(), moments.covariance_CC.float()))
    return DisclosedStatistics(Disclosure.MOMENTS, (classes[0], classes[1]))


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_noise_on_the_mean_has_the_calibrated_deviation():
    plain = _statistics()
    sigma = gaussian_sigma(2 / 4000, 1.0, 1e-5) * CLIP
    noise = torch.stack(
        [
            gaussian_mechanism(plain, 1.0, 1e-5, CLIP, _generator(seed)).classes[1].mean_C
            - plain.classes[1].mean_C
            for seed in range(200)
        ]
    )
    assert float(noise.std()) == pytest.approx(sigma, rel=0.1)
    assert abs(float(noise.mean())) < sigma * 0.15


def test_the_noise_on_second_moments_is_white_for_the_frobenius_norm():
    plain = _statistics(1_000_000)  # little noise: no eigenvalue is cut, and m m^T is nearly exact
    sigma = gaussian_sigma(2 / 1_000_000, 1.0, 1e-5) * CLIP**2

    def second(one):
        return one.covariance_CC.double() + torch.outer(one.mean_C.double(), one.mean_C.double())

    exact = second(plain.classes[0])
    noise = torch.stack(
        [
            second(gaussian_mechanism(plain, 1.0, 1e-5, CLIP, _generator(seed)).classes[0]) - exact
            for seed in range(300)
        ]
    )
    diagonal = noise.diagonal(dim1=1, dim2=2)
    off = noise[:, *torch.triu_indices(6, 6, offset=1)]
    assert float(diagonal.std()) == pytest.approx(sigma, rel=0.1)
    assert float(off.std()) == pytest.approx(sigma / math.sqrt(2), rel=0.1)


def test_noise_of_the_operating_system_is_standard_normal_and_never_the_same():
    """Of a seed torch's generator on the CPU takes 32 bits: whoever tries them all finds the noise."""
    plain = _statistics(1_000_000)
    sigma = gaussian_sigma(2 / 1_000_000, 1.0, 1e-5) * CLIP
    torch.manual_seed(0)
    draws = [gaussian_mechanism(plain, 1.0, 1e-5, CLIP) for _ in range(100)]
    noise = torch.stack([draw.classes[0].mean_C - plain.classes[0].mean_C for draw in draws])
    assert float(noise.std()) == pytest.approx(sigma, rel=0.2)
    torch.manual_seed(0)
    again = gaussian_mechanism(plain, 1.0, 1e-5, CLIP)
    assert not torch.equal(again.classes[0].mean_C, draws[0].classes[0].mean_C)


@pytest.mark.parametrize("epsilon", [0.05, 1.0, 8.0])
def test_what_comes_out_is_a_mean_and_a_covariance_and_says_its_budget(epsilon):
    noisy = gaussian_mechanism(_statistics(150), epsilon, 1e-5, CLIP, _generator())
    assert (noisy.epsilon, noisy.delta, noisy.level) == (epsilon, 1e-5, Disclosure.MOMENTS)
    for one in noisy.classes:
        assert float(one.mean_C.min()) >= 0
        eigenvalues = torch.linalg.eigvalsh(one.covariance_CC.double())
        assert float(eigenvalues[0]) >= -1e-5 * float(eigenvalues[-1])
        assert one.sample_count == 150


def test_more_budget_and_more_images_bring_figures_nearer():
    def error(count, epsilon):
        plain = _statistics(count)
        noisy = gaussian_mechanism(plain, epsilon, 1e-5, CLIP, _generator())
        return float((noisy.classes[0].covariance_CC - plain.classes[0].covariance_CC).norm())

    assert error(4000, 1.0) < 0.5 * error(400, 1.0)
    assert error(4000, 8.0) < 0.5 * error(4000, 1.0)
    assert error(100_000, 1.0) < 0.05


def test_collected_clipped_noised_and_sent():
    net = TeacherNet(default_architecture("vgg_small", 32), [Task.CLASSIFICATION])
    net.initialise(0)
    f = freeze(net).category_module
    images, labels = procedural_images(260, 32, 0), (torch.arange(260) % 2).to(torch.uint8)
    clipped = collect_statistics(f, [(images, labels)], Disclosure.MOMENTS, clip_norm=3.0)
    noisy = gaussian_mechanism(clipped, 4.0, 1e-4, 3.0, _generator())
    tensors = statistics_to_tensors(noisy)
    received = statistics_from_tensors(tensors, Disclosure.MOMENTS, seam_of(net.architecture))
    assert received.epsilon == 4.0
    assert received.delta == pytest.approx(1e-4)


def test_a_covariance_cut_to_be_one_is_the_nearest():
    matrix = torch.diag(torch.tensor([3.0, 1.0, -2.0], dtype=torch.float64))
    torch.testing.assert_close(
        nearest_covariance(matrix), torch.diag(torch.tensor([3.0, 1.0, 0.0], dtype=torch.float64))
    )


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epsilon", "delta", "clip", "message"),
    [
        (0.0, 1e-5, CLIP, "epsilon"),
        (math.inf, 1e-5, CLIP, "epsilon"),
        (math.nan, 1e-5, CLIP, "epsilon"),
        (1.0, 0.0, CLIP, "delta"),
        (1.0, 1.0, CLIP, "delta"),
        (1.0, 1e-5, -1.0, "clip_norm"),
        (1.0, 1e-5, CLIP / 10, "not of features clipped"),
    ],
)
def test_a_budget_out_of_range_and_unclipped_features_are_refused(epsilon, delta, clip, message):
    with pytest.raises(InvalidSettings, match=message):
        gaussian_mechanism(_statistics(), epsilon, delta, clip, _generator())


def test_the_mechanism_is_applied_once_and_to_moments_only():
    noisy = gaussian_mechanism(_statistics(), 1.0, 1e-5, CLIP, _generator())
    with pytest.raises(InvalidSettings, match="once"):
        gaussian_mechanism(noisy, 1.0, 1e-5, CLIP, _generator())
    pca = DisclosedStatistics(Disclosure.PCA, noisy.classes)
    with pytest.raises(InvalidSettings, match="covers moments, not pca"):
        gaussian_mechanism(pca, 1.0, 1e-5, CLIP, _generator())
