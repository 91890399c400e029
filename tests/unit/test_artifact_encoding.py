"""Encodings of weights: what is lost, what is declared, and what is refused on either side."""

from __future__ import annotations

import json
from dataclasses import replace as replaced

import pytest
import torch
from fakes.artifacts import TINY
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from transplant.artifact.codec import encode, load_module, seal, verify_payload, write_artifact
from transplant.artifact.digest import sha256_hex
from transplant.artifact.encoding import Encoding, as_received, decoded, encoded
from transplant.artifact.limits import DEFAULT_LIMITS
from transplant.artifact.manifest import Manifest, check_layout, parse_manifest
from transplant.artifact.safetensors_header import parse_header
from transplant.errors import ManifestInvalid, PayloadMalformed, TensorNotFinite, TooLarge
from transplant.nets.teacher_net import TeacherNet
from transplant.types import Architecture, ModuleKind, Task

SHORT = [Encoding.F16, Encoding.BF16, Encoding.INT8]
LARGEST_ERROR = {Encoding.F16: 2**-11, Encoding.BF16: 2**-8, Encoding.INT8: 0.5 / 127 * 1.0001}


@pytest.fixture(scope="module")
def net():
    teacher = TeacherNet(TINY, [Task.SEGMENTATION])
    teacher.initialise(4)
    return teacher.task_modules["segmentation"]


def _sealed(net, encoding=Encoding.INT8):
    return seal(
        net, site="s", category="dog", kind=ModuleKind.TASK, task=Task.SEGMENTATION, architecture=TINY,
        parents=("a" * 64,), encoding=encoding,
    )  # fmt: skip


@pytest.mark.parametrize("encoding", SHORT)
def test_matrices_are_shortened_and_vectors_are_not(net, encoding):
    manifest, payload = _sealed(net, encoding)
    dtypes = {spec.name: spec.dtype for spec in manifest.tensors}
    short = {Encoding.INT8: "i8"}.get(encoding, encoding.value)
    for name, tensor in net.state_dict().items():
        assert dtypes.pop(name) == (short if tensor.dim() > 1 else "f32")
        if encoding is Encoding.INT8 and tensor.dim() > 1:
            assert dtypes.pop(f"{name}.int8_scale") == "f32"
    assert not dtypes
    assert len(payload) < 0.6 * len(encode(net)[0])
    assert parse_manifest(manifest.canonical_bytes()) == manifest


@pytest.mark.parametrize("encoding", SHORT)
def test_what_is_loaded_is_float32_near_what_was_sealed_and_always_the_same(net, encoding, tmp_path):
    manifest, payload = _sealed(net, encoding)
    assert _sealed(net, encoding) == (manifest, payload)
    loaded = load_module(manifest, write_artifact(tmp_path, manifest, payload)).state_dict()
    expected = as_received(net, encoding).state_dict()
    for name, tensor in net.state_dict().items():
        assert loaded[name].dtype is torch.float32
        assert torch.equal(loaded[name], expected[name])
        if tensor.dim() < 2:
            assert torch.equal(loaded[name], tensor)
            continue
        largest = tensor.reshape(len(tensor), -1).abs().amax(1).view(-1, *[1] * (tensor.dim() - 1))
        reference = largest if encoding is Encoding.INT8 else tensor.abs()
        assert ((loaded[name] - tensor).abs() <= LARGEST_ERROR[encoding] * reference + 1e-7).all()


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=24), st.sampled_from([1, 2, 3]),
    st.sampled_from([Encoding.BF16, Encoding.INT8]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_finite_weights_come_back_within_the_error_of_the_encoding(values, rows, encoding):
    weights = torch.tensor((values * rows)[: len(values) // rows * rows or rows]).reshape(rows, -1)
    written = encoded({"w": weights}, encoding)
    back = decoded(written)
    assert list(back) == ["w"]
    largest = weights.abs().amax(1, keepdim=True)
    reference = largest if encoding is Encoding.INT8 else weights.abs()
    allowed = LARGEST_ERROR[encoding] * reference + torch.finfo(torch.float32).tiny * 64
    assert ((back["w"] - weights).abs() <= allowed).all()
    if encoding is Encoding.INT8:
        assert int(written["w"].min()) >= -127
        assert (written["w.int8_scale"] > 0).all()


def test_a_weight_that_f16_cannot_say_is_refused_at_sealing(net):
    wide = as_received(net, Encoding.BF16)
    name = next(name for name, tensor in wide.state_dict().items() if tensor.dim() > 1)
    wide.state_dict()[name].view(-1)[3] = -70000.0
    with pytest.raises(TensorNotFinite, match=f"{name} holds 70000, and f16 ends at 65504: .*bf16 or f32"):
        _sealed(wide, Encoding.F16)
    _sealed(wide, Encoding.BF16)


@pytest.mark.parametrize("encoding", SHORT)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 2e6])
def test_what_is_no_weight_is_refused_before_it_becomes_a_code(net, encoding, bad):
    spoilt = as_received(net, Encoding.BF16)
    name = next(name for name, tensor in spoilt.state_dict().items() if tensor.dim() > 1)
    spoilt.state_dict()[name].view(-1)[0] = bad
    with pytest.raises(TensorNotFinite, match=name):
        _sealed(spoilt, encoding)


def _tampered(manifest, payload, change, tmp_path):
    """Return manifest and file of a payload whose tensors were changed by somebody who seals it anew."""
    tensors = load(payload)
    change(tensors)
    data = save(tensors)
    header_bytes = int.from_bytes(data[:8], "little")
    specs = parse_header(data[8 : 8 + header_bytes], len(data) - 8 - header_bytes, DEFAULT_LIMITS)
    changed = manifest.model_copy(
        update={"tensors": specs, "payload_sha256": sha256_hex(data), "payload_bytes": len(data)}
    )
    path = tmp_path / "payload"
    path.write_bytes(data)
    return changed, path


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (float("nan"), TensorNotFinite),
        (float("inf"), TensorNotFinite),
        (0.0, TensorNotFinite),
        (-1.0, TensorNotFinite),
        (1e4, TensorNotFinite),  # 127 times that is no weight
    ],
)
def test_a_scale_that_makes_no_weights_is_refused(net, value, error, tmp_path):
    def spoil(tensors):
        next(tensor for name, tensor in tensors.items() if name.endswith("int8_scale"))[0] = value

    manifest, path = _tampered(*_sealed(net), spoil, tmp_path)
    with pytest.raises(error, match="int8_scale"):
        verify_payload(manifest, path)


def test_a_code_that_no_weight_has_is_refused(net, tmp_path):
    def spoil(tensors):
        next(tensor for tensor in tensors.values() if tensor.dtype is torch.int8).view(-1)[0] = -128

    manifest, path = _tampered(*_sealed(net), spoil, tmp_path)
    with pytest.raises(PayloadMalformed, match="the code -128"):
        verify_payload(manifest, path)


def _without_scale(tensors):
    del tensors[next(name for name in tensors if name.endswith("int8_scale"))]


def _scale_of_a_float(tensors):
    name = next(name for name, tensor in tensors.items() if tensor.dtype is torch.int8)
    tensors[name] = tensors[name].float()


def _long_scale(tensors):
    name = next(name for name in tensors if name.endswith("int8_scale"))
    tensors[name] = torch.ones(len(tensors[name]) + 1)


def _half_scale(tensors):
    name = next(name for name in tensors if name.endswith("int8_scale"))
    tensors[name] = tensors[name].half()


def _int8_vector(tensors):
    name = next(name for name in tensors if name.endswith("bias"))
    tensors[name] = torch.ones(tensors[name].shape, dtype=torch.int8)
    tensors[f"{name}.int8_scale"] = torch.ones(1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without_scale, r"also needs .*int8_scale"),
        (_scale_of_a_float, r"has no tensor .*int8_scale"),
        (_long_scale, r"int8_scale is \[\d+\] in vgg_small"),
        (_half_scale, r"int8_scale is f32, not f16"),
        (_int8_vector, r"is a vector; those are no int8"),
    ],
)
def test_what_is_declared_in_int8_is_a_closed_list(net, change, said, tmp_path):
    manifest, _ = _tampered(*_sealed(net), change, tmp_path)
    with pytest.raises(ManifestInvalid, match=said):
        check_layout(manifest)
    with pytest.raises(ManifestInvalid, match=said):
        parse_manifest(manifest.canonical_bytes())


def test_what_is_small_on_the_wire_and_too_large_once_loaded_is_refused_before_it_is_built(net):
    manifest, _ = _sealed(net)
    limits = replaced(DEFAULT_LIMITS, payload_bytes=manifest.payload_bytes + 100)
    with pytest.raises(TooLarge, match=r"bytes once loaded; the limit is"):
        check_layout(manifest, limits)
    huge = Architecture("vgg16", (("image_px", (512,)),))
    large = json.loads(manifest.canonical_bytes())
    large["architecture"] = {
        "id": "vgg16", "hyper_parameters": [{"name": "image_px", "values": list(huge.ints("image_px"))}],
    }  # fmt: skip
    large |= {"task": "classification", "seam": {"channels": 64, "height": 256, "width": 256}}
    with pytest.raises(TooLarge, match=r"bytes once loaded; the limit is 2147483648"):
        check_layout(Manifest.model_validate_json(json.dumps(large)))


def test_f32_is_what_it_always_was(net):
    assert encode(net, Encoding.F32) == encode(net)
    assert as_received(net, Encoding.F32) is net
