"""Weights that are well-formed and hostile: what an examination must find, and a site then read.

Each case is an artifact with an honest manifest about its bytes. What was found is what UploadStatus tells
the site, and what a client raises from it.
"""

from __future__ import annotations

import math

import pytest
import torch
from fakes.artifacts import sealed
from fakes.attacks import Attacks
from fakes.disclosures import tensors_of
from fakes.examined import assert_refused_as, examined
from safetensors.torch import save

from transplant.artifact.digest import sha256_hex
from transplant.artifact.limits import DEFAULT_LIMITS
from transplant.artifact.safetensors_header import parse_header
from transplant.errors import TensorNotFinite, WeightsImplausible
from transplant.types import ModuleKind, Task

F = sealed()
G = sealed(ModuleKind.TASK, Task.CLASSIFICATION, seed=1, parents=(F[0].module_id,))
S = sealed(ModuleKind.TASK, Task.SEGMENTATION, seed=2, parents=(F[0].module_id,))
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


@pytest.mark.parametrize("honest", [F, G, S], ids=["f", "g", "g_grid"])
def test_the_honest_ones_pass(tmp_path, honest):
    finding = examined(honest, F, tmp_path)
    assert (finding.error, finding.reason) == ("", "")


@pytest.mark.parametrize("attack", attacks.table, ids=str)
def test_ends_in_its_error(tmp_path, attack):
    assert_refused_as(attack, examined(attack.run(), F, tmp_path))
