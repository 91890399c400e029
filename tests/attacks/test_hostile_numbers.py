"""Weights and figures that are well-formed and hostile: what an examination must find, and a site then read.

Each case is an artifact with an honest manifest about its bytes. What was found is what UploadStatus tells
the site, and what a client raises from it.
"""

from __future__ import annotations

import math

import grpc
import pytest
import torch
from fakes.artifacts import TINY, sealed
from fakes.attacks import Attacks
from fakes.disclosures import answers_of, net, request_of, resealed, statistics_of, tensors_of
from safetensors.torch import save

from central.admission.examine import examine
from central.admission.orders import ExamineOrder
from transplant.artifact.codec import seal, write_artifact
from transplant.artifact.digest import sha256_hex
from transplant.artifact.disclosed import seal_answers, seal_statistics
from transplant.artifact.limits import DEFAULT_LIMITS
from transplant.artifact.manifest import FeatureStatistics
from transplant.artifact.safetensors_header import parse_header
from transplant.errors import (
    DisclosureImplausible,
    PayloadMalformed,
    TensorNotFinite,
    WeightsImplausible,
    rejection_of,
)
from transplant.types import Disclosure, ModuleKind, Task

F = sealed()
G = sealed(ModuleKind.TASK, Task.CLASSIFICATION, seed=1, parents=(F[0].module_id,))
S = sealed(ModuleKind.TASK, Task.SEGMENTATION, seed=2, parents=(F[0].module_id,))
MOMENTS = seal_statistics(statistics_of(net(TINY, ModuleKind.CATEGORY)), F[0])
PCA = seal_statistics(statistics_of(net(TINY, ModuleKind.CATEGORY), Disclosure.PCA), F[0])
ANSWERS = seal_answers(answers_of(TINY, request_of()), F[0])
attacks = Attacks()


def weights(origin, change):
    """Return the artifact with every weight changed, past the codec that would refuse to seal it."""
    payload = save({name: change(name, tensor.clone()) for name, tensor in tensors_of(origin).items()})
    length = int.from_bytes(payload[:8], "little")
    specs = parse_header(payload[8 : 8 + length], len(payload) - 8 - length, DEFAULT_LIMITS)
    update = {"tensors": specs, "payload_bytes": len(payload), "payload_sha256": sha256_hex(payload)}
    return origin[0].model_copy(update=update), payload


def everywhere(origin, value, dtype=torch.float32):
    return weights(origin, lambda _, tensor: torch.full_like(tensor, value, dtype=dtype))


def one(origin, value, dtype=torch.float32):
    """Change the very last weight of the last tensor."""
    last = list(tensors_of(origin))[-1]

    def change(name, tensor):
        tensor = tensor.to(dtype)
        if name == last:
            tensor.reshape(-1)[-1] = value
        return tensor

    return weights(origin, change)


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


# --- storms of what is no number -------------------------------------------------------------------------


@attacks(TensorNotFinite, message="holds nan")
def nan_storm():
    """Every weight is NaN: one such update and a merged net is lost."""
    return everywhere(F, math.nan)


@attacks(TensorNotFinite, message="holds inf")
def infinity_storm():
    """Every weight is infinite."""
    return everywhere(F, math.inf)


@attacks(TensorNotFinite, message="holds nan")
def one_nan_at_the_end():
    """One NaN among all weights, in the last place that is looked at."""
    return one(S, math.nan)


@attacks(TensorNotFinite, message="holds -inf")
def one_infinity_in_half_precision():
    """Half precision overflows early: 65,520 is infinite already."""
    return one(F, -70000.0, torch.float16)


@attacks(TensorNotFinite, message="holds nan")
def one_nan_in_bfloat16():
    """The same in bfloat16, which numpy does not know."""
    return one(F, math.nan, torch.bfloat16)


@attacks(TensorNotFinite, message="must be finite and within")
def numbers_of_another_world():
    """Finite, and of a size that overflows at the first multiplication."""
    return everywhere(G, 3e38)


@attacks(WeightsImplausible, message="of an ordinary image reaches")
def large_and_within_the_limit():
    """Every weight is within the limit of a weight, and the answers are not."""
    return weights(F, lambda _, tensor: tensor * 1e6)


@attacks(WeightsImplausible, message="denormal")
def denormal_storm():
    """Denormal numbers, all different: each multiplication costs a hundred times the usual."""
    return weights(F, lambda _, t: 1e-40 + torch.arange(t.numel(), dtype=t.dtype).view_as(t) * 1e-42)


@attacks(WeightsImplausible, message="denormal")
def denormals_among_honest_weights():
    """A fifth of the weights of an honest task module are denormal."""

    def change(_, tensor):
        tensor.view(-1)[::5] = 1e-41
        return tensor

    return weights(G, change)


# --- modules that are none -------------------------------------------------------------------------------


@attacks(WeightsImplausible, message="constant")
def a_category_module_of_zeros():
    """Nothing at all."""
    return everywhere(F, 0.0)


@attacks(WeightsImplausible, message="constant")
def a_task_module_of_zeros():
    """The same above the seam."""
    return everywhere(G, 0.0)


@attacks(WeightsImplausible, message="constant")
def a_module_of_one_number():
    """Every weight is the same."""
    return everywhere(F, 0.125)


@attacks(WeightsImplausible, message="same for every image")
def features_that_died():
    """Weights that differ, under a ReLU that lets none of what they give through."""
    return weights(F, lambda _, tensor: -tensor.abs())


@attacks(WeightsImplausible, message="same for every image")
def a_task_module_that_does_not_look():
    """Its last weights are zero and its last bias is not: it says the same to everybody."""
    last = [name for name in tensors_of(G) if name.endswith("weight")][-1]
    return weights(G, lambda name, tensor: tensor * 0 if name == last else tensor)


# --- statistics that lie ---------------------------------------------------------------------------------


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


@pytest.fixture
def found(tmp_path):
    """Examine an artifact; what has a parent is about F."""

    def look(artifact):
        manifest, payload = artifact
        parent = manifest.parents and write_artifact(tmp_path, *F)
        order = ExamineOrder(
            manifest=manifest.canonical_bytes().decode(),
            payload=str(write_artifact(tmp_path, manifest, payload)),
            cpu_s=60.0,
            memory_bytes=1 << 30,
            parent_manifest=F[0].canonical_bytes().decode() if parent else "",
            parent_payload=str(parent or ""),
        )
        return examine(order)

    return look


@pytest.mark.parametrize(
    "honest",
    [F, G, S, MOMENTS, PCA, ANSWERS, told(), scaled(2.0)],
    ids=["f", "g", "g_grid", "moments", "pca", "answers", "scale", "twice_the_scale"],
)
def test_the_honest_ones_pass(found, honest):
    finding = found(honest)
    assert (finding.error, finding.reason) == ("", "")


@pytest.mark.parametrize("attack", attacks.table, ids=str)
def test_ends_in_its_error(found, attack):
    finding = found(attack.run())
    error = rejection_of(finding.error, finding.reason)
    assert type(error) is attack.error, finding
    assert grpc.StatusCode[error.status] is attack.status is grpc.StatusCode.INVALID_ARGUMENT
    assert attack.message in finding.reason
    assert len(finding.reason) < 1000
    assert finding.reason.isprintable()
