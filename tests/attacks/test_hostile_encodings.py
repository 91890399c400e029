"""Modules in int8 whose codes and scales are hostile: short on the wire, and something else once loaded."""

from __future__ import annotations

import math

import pytest
import torch
from fakes.artifacts import TINY, sealed
from fakes.attacks import Attacks
from fakes.disclosures import net, tensors_of
from safetensors.torch import save

from transplant.artifact.codec import load_module, seal, write_artifact
from transplant.artifact.digest import sha256_hex
from transplant.artifact.encoding import Encoding
from transplant.artifact.limits import DEFAULT_LIMITS, Limits
from transplant.artifact.manifest import check_layout
from transplant.artifact.manifest_fields import scale_of
from transplant.artifact.safetensors_header import parse_header
from transplant.errors import ManifestInvalid, PayloadMalformed, TensorNotFinite, TooLarge
from transplant.types import ModuleKind, Task

F = sealed()[0]
ORIGIN = seal(
    net(TINY, ModuleKind.TASK, Task.CLASSIFICATION),
    site="site-a",
    category="dog",
    kind=ModuleKind.TASK,
    task=Task.CLASSIFICATION,
    architecture=TINY,
    parents=(F.module_id,),
    encoding=Encoding.INT8,
)
TENSORS = tensors_of(ORIGIN)
CODES = next(name for name, tensor in TENSORS.items() if tensor.dtype is torch.int8)
VECTOR = next(name for name, tensor in TENSORS.items() if tensor.dim() == 1 and scale_of("") not in name)
SCALE = scale_of(CODES)
attacks = Attacks()


def changed(**tensors):
    """Return the artifact with other tensors (None: without it) and an honest manifest about them."""
    kept = {name: tensor for name, tensor in (TENSORS | tensors).items() if tensor is not None}
    payload = save(kept)
    length = int.from_bytes(payload[:8], "little")
    specs = parse_header(payload[8 : 8 + length], len(payload) - 8 - length, DEFAULT_LIMITS)
    update = {"tensors": specs, "payload_bytes": len(payload), "payload_sha256": sha256_hex(payload)}
    return ORIGIN[0].model_copy(update=update), payload


def first(tensor, value):
    made = tensor.clone()
    made.reshape(-1)[0] = value
    return made


@attacks(PayloadMalformed, message="-128")
def a_code_that_is_none():
    """The one code without a mirror image."""
    return changed(**{CODES: first(TENSORS[CODES], -128)})


@attacks(TensorNotFinite, message="every scale must be over 0")
def a_scale_of_zero():
    """A whole channel is silenced."""
    return changed(**{SCALE: first(TENSORS[SCALE], 0.0)})


@attacks(TensorNotFinite, message="every scale must be over 0")
def a_scale_below_zero():
    """A whole channel is turned round."""
    return changed(**{SCALE: first(TENSORS[SCALE], -1.0)})


@attacks(TensorNotFinite, message="nan")
def a_scale_that_is_no_number():
    """One NaN makes a channel of NaN of honest codes."""
    return changed(**{SCALE: first(TENSORS[SCALE], math.nan)})


@attacks(TensorNotFinite, message="inf")
def an_infinite_scale():
    """The same with an infinity."""
    return changed(**{SCALE: first(TENSORS[SCALE], math.inf)})


@attacks(TensorNotFinite, message="must be finite and within")
def a_scale_that_makes_giants():
    """Within the limit of a weight itself; times 127 it is not."""
    return changed(**{SCALE: first(TENSORS[SCALE], 1e5)})


@attacks(ManifestInvalid, message="also needs")
def codes_without_their_scales():
    """Codes of which nobody knows what they mean."""
    return changed(**{SCALE: None})


@attacks(ManifestInvalid, message="no tensor")
def scales_of_what_is_no_code():
    """Weights as they are, and scales beside them that only one of two readers might use."""
    return changed(**{CODES: TENSORS[CODES].float()})


@attacks(ManifestInvalid, message=".shape")
def scales_of_other_channels():
    """One scale too many."""
    return changed(**{SCALE: torch.ones(len(TENSORS[SCALE]) + 1)})


@attacks(ManifestInvalid, message=".dtype")
def scales_in_half_precision():
    """Scales are float32."""
    return changed(**{SCALE: TENSORS[SCALE].half()})


@attacks(ManifestInvalid, message="those are no int8")
def a_vector_in_codes():
    """A bias in int8 has no channels to scale."""
    return changed(**{VECTOR: torch.zeros(len(TENSORS[VECTOR]), dtype=torch.int8)})


@attacks(ManifestInvalid, message="no tensor")
def scales_of_scales():
    """A scale for the scales, and so on."""
    return changed(**{scale_of(SCALE): TENSORS[SCALE].clone()})


@pytest.mark.parametrize("attack", attacks.table, ids=str)
def test_ends_in_its_error(tmp_path, attack):
    manifest, payload = attack.run()
    path = write_artifact(tmp_path, manifest, payload)
    with pytest.raises(attack.error) as caught:
        load_module(manifest, path)
    assert type(caught.value) is attack.error
    assert attack.message in str(caught.value)


def test_short_on_the_wire_and_large_once_loaded():
    """What counts is what the numbers take where they are used."""
    with pytest.raises(TooLarge, match="once loaded"):
        check_layout(ORIGIN[0], Limits(payload_bytes=ORIGIN[0].payload_bytes))


def test_the_honest_one_passes(tmp_path):
    load_module(ORIGIN[0], write_artifact(tmp_path, *ORIGIN))
