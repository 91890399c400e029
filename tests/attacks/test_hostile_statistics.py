"""Statistics and answers that are well-formed and lie about the module that they are told of."""

from __future__ import annotations

import math

import pytest
import torch
from fakes.artifacts import TINY, sealed
from fakes.attacks import Attacks
from fakes.disclosures import answers_of, net, request_of, resealed, statistics_of, tensors_of
from fakes.examined import assert_refused_as, examined

from transplant.artifact.codec import seal
from transplant.artifact.disclosed import seal_answers, seal_statistics
from transplant.artifact.manifest import FeatureStatistics
from transplant.errors import DisclosureImplausible, PayloadMalformed, TensorNotFinite
from transplant.types import Disclosure, ModuleKind

F = sealed()
MOMENTS = seal_statistics(statistics_of(net(TINY, ModuleKind.CATEGORY)), F[0])
PCA = seal_statistics(statistics_of(net(TINY, ModuleKind.CATEGORY), Disclosure.PCA), F[0])
ANSWERS = seal_answers(answers_of(TINY, request_of()), F[0])
attacks = Attacks()


def told(**changes):
    """Return a category module that tells the scale of its features, but for the changes."""
    made = net(TINY, ModuleKind.CATEGORY)
    dog = statistics_of(made).classes[1]
    mean, variance = dog.mean_C, dog.covariance_CC.diagonal()
    norm = 0.98 * float(256 * (mean.square() + variance).sum()) ** 0.5
    figures = {"sample_count": 200, "mean_norm": norm} | changes
    figures = {"channel_mean": tuple(mean.tolist()), "channel_variance": tuple(variance.tolist())} | figures
    own = {
        "site": "site-a",
        "category": "dog",
        "kind": ModuleKind.CATEGORY,
        "task": None,
        "architecture": TINY,
    }
    return seal(made, **own, statistics=FeatureStatistics(level=Disclosure.SCALE, **figures))


def scaled(factor):
    """Return statistics as if all features were larger by a factor: consistent with each other."""
    powers = {"mean": factor, "covariance": factor**2}
    named = ((name, name.rpartition(".")[2], tensor) for name, tensor in tensors_of(MOMENTS).items())
    return resealed(MOMENTS, {name: tensor * powers[part] for name, part, tensor in named if part in powers})


@attacks(DisclosureImplausible, message="synthetic images through these weights give")
def a_norm_far_too_large():
    """The mean norm that a site tells would blow up every route that is rescaled by it."""
    return told(mean_norm=1e6)


@attacks(DisclosureImplausible, message="synthetic images through these weights give")
def a_norm_of_nothing():
    """And one that would make the merged route deaf."""
    return told(mean_norm=1e-6)


@attacks(DisclosureImplausible, message="add up to")
def channels_that_contradict_the_norm():
    """A norm with channels that add up to nothing."""
    return told(channel_mean=(0.0,) * 4, channel_variance=(0.0,) * 4)


@attacks(DisclosureImplausible, message="synthetic images through these weights give")
def statistics_of_something_larger():
    """Moments that agree with each other, and are a hundred times those of the module."""
    return scaled(100.0)


@attacks(DisclosureImplausible, message="synthetic images through these weights give")
def statistics_of_next_to_nothing():
    """And a hundredth of them."""
    return scaled(0.01)


@attacks(DisclosureImplausible, message="that its noise explains")
def a_lie_that_calls_itself_noise():
    """Moments a thousand times those of the module, said to be protected by the Gaussian mechanism."""
    noise = {"epsilon": torch.tensor([2.0]), "delta": torch.tensor([1e-5])}
    return resealed(MOMENTS, {"1.covariance": tensors_of(MOMENTS)["1.covariance"] * 1e6} | noise)


@attacks(DisclosureImplausible, message="behind a ReLU")
def means_below_zero():
    """Means that no feature behind a ReLU can have; the scale is right."""
    return resealed(MOMENTS, {"1.mean": -tensors_of(MOMENTS)["1.mean"]})


@attacks(PayloadMalformed, message="semidefinite")
def variances_below_zero():
    """A covariance that is none."""
    return resealed(MOMENTS, {"0.covariance": -tensors_of(MOMENTS)["0.covariance"]})


@attacks(PayloadMalformed, message="sample_count is 3")
def statistics_of_three_people():
    """A mean over three images says too much about each: it is refused although it would be useful."""
    return resealed(MOMENTS, {"1.sample_count": torch.tensor([3], dtype=torch.int32)})


@attacks(TensorNotFinite, message="1.mean")
def statistics_with_a_nan():
    """One NaN in a mean would make every sample drawn from it NaN."""
    mean = tensors_of(MOMENTS)["1.mean"]
    mean[0] = math.nan
    return resealed(MOMENTS, {"1.mean": mean})


@attacks(PayloadMalformed, message="mean")
def a_map_of_something_else():
    """A mean map whose own mean is not the mean."""
    return resealed(PCA, {"1.mean_map": tensors_of(PCA)["1.mean_map"] * 2})


@attacks(DisclosureImplausible, message="the same for every image")
def answers_without_an_answer():
    """Answers that are all the same teach nothing, whatever was asked."""
    return resealed(ANSWERS, {"codes": torch.full_like(tensors_of(ANSWERS)["codes"], 7)})


@attacks(TensorNotFinite, message="range")
def answers_of_infinite_range():
    """A range that makes infinities of honest codes."""
    return resealed(ANSWERS, {"range": torch.tensor([0.0, math.inf])})


@pytest.mark.parametrize(
    "honest",
    [MOMENTS, PCA, ANSWERS, told(), scaled(2.0)],
    ids=["moments", "pca", "answers", "scale", "twice_the_scale"],
)
def test_the_honest_ones_pass(tmp_path, honest):
    finding = examined(honest, F, tmp_path)
    assert (finding.error, finding.reason) == ("", "")


@pytest.mark.parametrize("attack", attacks.table, ids=str)
def test_ends_in_its_error(tmp_path, attack):
    assert_refused_as(attack, examined(attack.run(), F, tmp_path))
