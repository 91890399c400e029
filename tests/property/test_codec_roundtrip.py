"""Whatever weights a module has, and whatever a manifest says, comes back exactly."""

from __future__ import annotations

import string
import tempfile
from pathlib import Path

import torch
from fakes.artifacts import TINY, sealed
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from transplant.artifact.codec import encode, load_module, seal, write_artifact
from transplant.artifact.limits import Limits
from transplant.artifact.manifest import FeatureStatistics, Manifest, TrainingRecord, parse_manifest
from transplant.artifact.safetensors_header import parse_header
from transplant.errors import (
    ArtifactRejected,
    ManifestInvalid,
    PayloadMalformed,
    TooLarge,
    UnknownArchitecture,
)
from transplant.nets.architectures import build
from transplant.rpc.convert import manifest_from_proto, manifest_to_proto
from transplant.types import Disclosure, ModuleKind
from transplant.v1 import manifest_pb2

BASE, PAYLOAD = sealed()
HEADER_BYTES = int.from_bytes(PAYLOAD[:8], "little")

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
words = st.text(string.ascii_lowercase + "_", min_size=1, max_size=12).map(lambda text: "m" + text)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
figures = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, (1 << 63) - 1)
channels = BASE.seam.channels


@st.composite
def statistics(draw: st.DrawFn) -> FeatureStatistics:
    if draw(st.booleans()):
        return FeatureStatistics()
    row = st.lists(
        st.floats(0, 1e30, allow_nan=False), min_size=channels, max_size=channels
    )  # deliberately not float32
    return FeatureStatistics(
        level=Disclosure.SCALE,
        sample_count=draw(st.integers(10, 1 << 40)),
        mean_norm=draw(st.floats(0, 1e300)),
        channel_mean=tuple(draw(row)),
        channel_variance=tuple(draw(row)),
    )


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    changes = {
        "site": draw(names),
        "category": draw(names),
        "statistics": draw(statistics()),
        "metrics": draw(st.dictionaries(words, figures, max_size=8)),
        "training": TrainingRecord(
            sample_count=draw(counts),
            raw_bytes=draw(counts),
            seed=draw(counts),
            epochs=draw(st.integers(0, (1 << 32) - 1)),
        ),
        "parents": tuple(draw(st.lists(digests, unique=True, max_size=4))),
        "payload_sha256": draw(digests),
    }
    return Manifest.model_validate(
        {**{name: getattr(BASE, name) for name in Manifest.model_fields}, **changes}
    )


@given(manifests())
@settings(max_examples=150, deadline=None)
def test_a_manifest_keeps_its_id_through_json_and_the_wire(manifest):
    assert parse_manifest(manifest.canonical_bytes()) == manifest
    wire = manifest_to_proto(manifest).SerializeToString()
    received = manifest_from_proto(manifest_pb2.Manifest.FromString(wire))
    assert received == manifest
    assert received.module_id == manifest.module_id


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30),
    st.sampled_from([torch.float32, torch.bfloat16]),
)
@settings(max_examples=40, deadline=None)
def test_weights_come_back_bit_for_bit(values, dtype):
    net = build(TINY, ModuleKind.CATEGORY, None)
    with torch.no_grad():
        for parameter in net.parameters():
            count = min(len(values), parameter.numel())
            parameter.view(-1)[:count] = torch.tensor(values[:count])
    net = net.to(dtype)
    largest = max(float(parameter.detach().abs().max()) for parameter in net.parameters())
    if largest > 1e6:  # bf16 rounds up to 2^20
        return
    manifest, payload = seal(
        net, site="s", category="dog", kind=ModuleKind.CATEGORY, task=None, architecture=TINY
    )
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_module(manifest, write_artifact(Path(folder), manifest, payload))
    for name, tensor in loaded.state_dict().items():
        expected = net.state_dict()[name].float()
        assert torch.equal(tensor.view(torch.int32), expected.view(torch.int32)), name


class Named(nn.Module):
    """A module with tensors of any shapes."""

    def __init__(self, shapes: list[list[int]], dtype: torch.dtype) -> None:
        super().__init__()
        for number, shape in enumerate(shapes):
            self.register_buffer(f"tensor_{number}", torch.zeros(shape, dtype=dtype))


@given(
    st.lists(st.lists(st.integers(1, 5), max_size=5), min_size=1, max_size=12),
    st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
)
@settings(max_examples=60, deadline=None)
def test_every_encoded_header_passes_the_strict_reader(shapes, dtype):
    payload, specs = encode(Named(shapes, dtype))
    assert {spec.name: list(spec.shape) for spec in specs} == {
        f"tensor_{number}": shape for number, shape in enumerate(shapes)
    }
    assert sum(spec.size_bytes for spec in specs) + 8 + int.from_bytes(payload[:8], "little") == len(payload)


@given(
    st.lists(
        st.tuples(st.integers(0, HEADER_BYTES - 1), st.binary(max_size=6), st.integers(0, 6)),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=300, deadline=None)
def test_a_mangled_header_is_read_as_before_or_refused(edits):
    header = PAYLOAD[8 : 8 + HEADER_BYTES]
    for at, text, cut in edits:
        header = header[:at] + text + header[at + cut :]
    data_bytes = len(PAYLOAD) - 8 - HEADER_BYTES
    try:
        specs = parse_header(header, data_bytes, Limits())
    except (PayloadMalformed, TooLarge):
        return
    position = 0
    for spec in specs:  # whatever passed is a gapless tiling of the data
        assert spec.offset_bytes == position
        position += spec.size_bytes
    assert position == data_bytes


@given(
    st.lists(
        st.tuples(st.integers(0, len(BASE.canonical_bytes()) - 1), st.binary(max_size=4), st.integers(0, 4)),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=300, deadline=None)
def test_a_mangled_manifest_is_valid_or_refused_by_a_typed_error(edits):
    data = BASE.canonical_bytes()
    for at, text, cut in edits:
        data = data[:at] + text + data[at + cut :]
    try:
        manifest = parse_manifest(data)
    except (ManifestInvalid, UnknownArchitecture, TooLarge):
        return
    assert parse_manifest(manifest.canonical_bytes()) == manifest


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_wire_bytes_are_a_manifest_or_refused(data):
    try:
        message = manifest_pb2.Manifest.FromString(data)
    except DecodeError:  # gRPC refuses such a call by itself
        return
    try:
        manifest_from_proto(message)
    except ArtifactRejected:
        return
