"""Hostile manifests, as JSON and on the wire: the error names the path of the field at fault."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from fakes.artifacts import sealed, sealed_adapter, sealed_task

from transplant.artifact.manifest import parse_manifest
from transplant.errors import ManifestInvalid, TooLarge, UnknownArchitecture
from transplant.rpc.convert import manifest_from_proto, manifest_to_proto
from transplant.v1 import manifest_pb2

MANIFEST = sealed()[0]
DOCUMENT: dict[str, Any] = json.loads(MANIFEST.canonical_bytes())
DELETE = object()


def _changed(path: str, value: object) -> bytes:
    document: Any = copy.deepcopy(DOCUMENT)
    place = document
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        place = place[part]
    if value is DELETE:
        del place[last]
    else:
        place[last] = value
    return json.dumps(document).encode()


FIELD_ATTACKS = [
    ("unknown_field", "images", [0, 1, 2], r"^images: there is no such field"),
    ("unknown_inner_field", "seam.depth", 3, r"^seam\.depth: there is no such field"),
    ("unknown_field_in_a_list", "tensors.1.code", "x", r"^tensors\.1\.code: there is no such field"),
    ("missing_field", "payload_sha256", DELETE, r"^payload_sha256: Field required"),
    ("other_schema", "schema_version", 2, r"^schema_version"),
    ("schema_as_text", "schema_version", "1", r"^schema_version"),
    ("path_as_site", "site", "../../etc", r"^site: .*is not a name"),
    ("empty_site", "site", "", r"^site"),
    ("newline_in_site", "site", "site-a\n", r"^site"),
    ("uri_as_category", "category", "transplant://site/x", r"^category"),
    ("unknown_kind", "kind", "virus", r"^kind"),
    ("number_as_text", "payload_bytes", "12", r"^payload_bytes"),
    ("negative_size", "payload_bytes", -1, r"^payload_bytes"),
    ("size_of_nothing", "payload_bytes", 0, r"^payload_bytes"),
    ("boolean_size", "payload_bytes", True, r"^payload_bytes"),
    ("size_over_64_bits", "payload_bytes", 1 << 70, r"^payload_bytes"),
    ("size_too_small_for_its_tensors", "payload_bytes", 100, r"^payload_bytes: 100 cannot hold"),
    ("upper_case_digest", "payload_sha256", "A" * 64, r"^payload_sha256"),
    ("path_as_digest", "payload_sha256", "../" * 21 + "x", r"^payload_sha256"),
    ("newline_digest", "payload_sha256", "a" * 64 + "\n", r"^payload_sha256"),
    ("no_tensors", "tensors", [], r"^tensors"),
    ("too_many_tensors", "tensors", [DOCUMENT["tensors"][0]] * 4097, r"^tensors"),
    (
        "duplicate_tensor",
        "tensors",
        DOCUMENT["tensors"] + DOCUMENT["tensors"][:1],
        r"^tensors: .*listed twice",
    ),
    ("path_as_tensor", "tensors.0.name", "../../x", r"^tensors\.0\.name"),
    ("endless_tensor_name", "tensors.0.name", "a" * 201, r"^tensors\.0\.name"),
    ("foreign_tensor", "tensors.0.name", "backdoor.weight", r"^tensors\.0\.name: vgg_small has no tensor"),
    ("integer_dtype", "tensors.0.dtype", "i64", r"^tensors\.0\.dtype"),
    ("other_shape", "tensors.0.shape", [5], r"^tensors\.0\.shape"),
    ("nine_dimensions", "tensors.0.shape", [1] * 9, r"^tensors\.0\.shape"),
    ("zero_dimension", "tensors.0.shape", [0], r"^tensors\.0\.shape\.0"),
    ("overflowing_shape", "tensors.0.shape", [1 << 62, 1 << 62], r"^tensors\.0\.shape\.0"),
    ("overlap", "tensors.1.offset_bytes", 4, r"^tensors: .*overlaps"),
    ("gap", "tensors.1.offset_bytes", 1 << 20, r"^tensors: .*gap"),
    ("a_tensor_less", "tensors", DOCUMENT["tensors"][:-1], r"^tensors: vgg_small also needs"),
    ("other_seam", "seam.channels", 5, r"^seam: 5x16x16 is not the architecture's"),
    ("flat_seam", "seam.height", 0, r"^seam: height and width"),
    ("task_of_a_category_module", "task", "segmentation", r"^task: a category module"),
    ("unknown_task", "task", "weather", r"^task"),
    ("level_without_fields", "statistics.level", "pca", r"^statistics\.level: schema 1 carries"),
    ("figures_at_level_none", "statistics.mean_norm", 1.0, r"^statistics: the level is none"),
    ("figure_as_text", "metrics", {"error": "3"}, r"^metrics\.error"),
    ("path_as_metric", "metrics", {"../x": 3.0}, r"^metrics"),
    ("too_many_metrics", "metrics", {f"m{n}": 1.0 for n in range(65)}, r"^metrics"),
    ("parent_not_a_digest", "parents", ["parent"], r"^parents\.0"),
    ("parent_twice", "parents", ["a" * 64, "a" * 64], r"^parents: a parent is named twice"),
    ("too_many_parents", "parents", [f"{n:064x}" for n in range(65)], r"^parents"),
    ("command_as_library", "libraries", {"torch": "$(reboot)"}, r"^libraries\.torch"),
    ("negative_seed", "training.seed", -1, r"^training\.seed"),
    ("nested_for_ever", "metrics", json.loads("[" * 150 + "]" * 150), r"^metrics"),
]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [case[1:] for case in FIELD_ATTACKS],
    ids=[case[0] for case in FIELD_ATTACKS],
)
def test_the_field_is_named(path, value, message):
    with pytest.raises(ManifestInvalid, match=message):
        parse_manifest(_changed(path, value))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not JSON"),
        (b"PK\x03\x04", "not JSON"),
        (b'{"site": "\xff"}', "not JSON"),
        (b"[]", "object"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[" * 500_000, "nested too deeply"),
        (b'{"payload_bytes":' + b"9" * 100_000 + b"}", "not JSON"),
        (b" " * ((1 << 20) + 1), "at most 1048576 are read"),
        (MANIFEST.canonical_bytes()[:-1] + b',"site":"site-b"}', "'site' stands twice"),
        (MANIFEST.canonical_bytes().replace(b"3.25", b"NaN"), "not a number that JSON knows"),
        (MANIFEST.canonical_bytes().replace(b"3.25", b"1e999"), "metrics.error"),
        (MANIFEST.canonical_bytes() * 2, "not JSON"),
    ],
    ids=[
        "empty",
        "not_json",
        "not_utf8",
        "a_list",
        "deep_nesting",
        "deep_lists",
        "endless_number",
        "too_long",
        "repeated_key",
        "nan",
        "infinite_by_size",
        "trailing_document",
    ],
)
def test_bytes_that_are_no_manifest(data, message):
    with pytest.raises(ManifestInvalid, match=message):
        parse_manifest(data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("architecture.id", "torch"),
        ("architecture.id", "adapter"),
        ("architecture.hyper_parameters", []),
        ("architecture.hyper_parameters.0.values", [100_000]),
        ("architecture.hyper_parameters.0.values", [33]),
        ("architecture.hyper_parameters.0.name", "device"),
        ("architecture.hyper_parameters", [*DOCUMENT["architecture"]["hyper_parameters"]] * 2),
    ],
)
def test_only_the_closed_table_is_built(path, value):
    with pytest.raises(UnknownArchitecture):
        parse_manifest(_changed(path, value))


def test_an_import_path_is_no_architecture():
    with pytest.raises(ManifestInvalid, match=r"architecture\.id"):
        parse_manifest(_changed("architecture.id", "os.path.join"))


def test_a_payload_over_the_limit_is_refused_before_it_is_sent():
    with pytest.raises(TooLarge, match="payload_bytes"):
        parse_manifest(_changed("payload_bytes", 3 << 30))


def test_a_task_module_names_its_category_module():
    document = json.loads(sealed_task()[0].canonical_bytes()) | {"parents": []}
    with pytest.raises(ManifestInvalid, match="parents: a task module names"):
        parse_manifest(json.dumps(document).encode())


def test_an_adapter_needs_no_parent_but_its_task():
    document = json.loads(sealed_adapter()[0].canonical_bytes())
    parse_manifest(json.dumps(document).encode())
    with pytest.raises(ManifestInvalid, match="task"):
        parse_manifest(json.dumps(document | {"task": None}).encode())


def _proto() -> manifest_pb2.Manifest:
    return manifest_to_proto(MANIFEST)


def _unknown(number: int) -> bytes:
    return bytes([number << 3 & 0x7F | 0x80, number >> 4, 1])  # a varint field of that number, with value 1


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (lambda proto: proto, r"^99: there is no such field"),
        (lambda proto: proto.seam, r"^seam\.99: there is no such field"),
        (lambda proto: proto.tensors[1], r"^tensors\.1\.99: there is no such field"),
        (lambda proto: proto.architecture.hyper_parameters[0], r"^architecture\.hyper_parameters\.0\.99: "),
        (lambda proto: proto.statistics, r"^statistics\.99: there is no such field"),
    ],
)
def test_unknown_wire_fields_are_refused_with_their_path(place, message):
    proto = _proto()
    place(proto).MergeFromString(_unknown(99))
    with pytest.raises(ManifestInvalid, match=message):
        manifest_from_proto(manifest_pb2.Manifest.FromString(proto.SerializeToString()))


def _edit(**fields: object) -> manifest_pb2.Manifest:
    proto = _proto()
    for name, value in fields.items():
        setattr(proto, name, value)
    return proto


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (manifest_pb2.Manifest(), "kind"),
        (_edit(schema_version=2), "schema_version"),
        (_edit(kind=0), "kind: 0 is not one of"),
        (_edit(kind=77), "kind: 77 is not one of"),
        (_edit(task=9), "task: 9 is not one of"),
        (_edit(site="Site A"), "site"),
        (_edit(payload_bytes=0), "payload_bytes"),
        (_edit(payload_bytes=(1 << 64) - 1), "payload_bytes"),
    ],
)
def test_wire_values_are_checked_like_those_of_a_file(proto, message):
    with pytest.raises(ManifestInvalid, match=message):
        manifest_from_proto(proto)


def test_a_figure_twice_on_the_wire():
    proto = _proto()
    proto.metrics.add(name="error", value=1.0)
    with pytest.raises(ManifestInvalid, match="given twice"):
        manifest_from_proto(proto)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_on_the_wire(value):
    proto = _proto()
    proto.metrics[0].value = value
    with pytest.raises(ManifestInvalid, match=r"metrics\.error"):
        manifest_from_proto(proto)


def test_a_manifest_too_long_on_the_wire():
    proto = _proto()
    proto.parents.extend(["a" * 64] * 20_000)
    with pytest.raises(ManifestInvalid, match="at most 1048576 are read"):
        manifest_from_proto(proto)
