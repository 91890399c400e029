"""Hostile payloads: each case makes one file and names the one error that it must end in.

The manifest of each case tells the truth about size and digest of the hostile bytes: what stops the
attack is the check that it is about, not the digest.
"""

from __future__ import annotations

import json
import math
import struct
import tracemalloc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from fakes.artifacts import sealed

from transplant.artifact.codec import load_module, verify_payload
from transplant.artifact.digest import sha256_hex
from transplant.artifact.limits import Limits
from transplant.artifact.safetensors_header import read_header
from transplant.errors import (
    ArtifactRejected,
    DigestMismatch,
    ManifestInvalid,
    PayloadMalformed,
    TensorNotFinite,
    TooLarge,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFEST, PAYLOAD = sealed()
HEADER_BYTES = int.from_bytes(PAYLOAD[:8], "little")
HEADER: dict[str, Any] = json.loads(PAYLOAD[8 : 8 + HEADER_BYTES])
DATA = PAYLOAD[8 + HEADER_BYTES :]
FIRST, SECOND = sorted(HEADER, key=lambda name: HEADER[name]["data_offsets"])[:2]


@dataclass(frozen=True)
class Attack:
    """A name, the bytes, the error and a part of its message."""

    name: str
    payload: bytes
    error: type[ArtifactRejected]
    message: str


def _packed(header: bytes | dict[str, Any], data: bytes = DATA) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def _with(name: str, **fields: Any) -> bytes:
    return _packed({**HEADER, name: {**HEADER[name], **fields}})


def _edited(change: Callable[[dict[str, Any]], None]) -> bytes:
    header = json.loads(json.dumps(HEADER))
    change(header)
    return _packed(header)


def _rename(old: str, new: str) -> bytes:
    return _packed({(new if name == old else name): entry for name, entry in HEADER.items()})


def _shift_from(name: str, by: int) -> bytes:
    start = HEADER[name]["data_offsets"][0]

    def change(header: dict[str, Any]) -> None:
        for entry in header.values():
            if entry["data_offsets"][0] >= start:
                entry["data_offsets"] = [offset + by for offset in entry["data_offsets"]]

    return _edited(change)


def _weight(value: float) -> bytes:
    at = 8 + HEADER_BYTES + HEADER[SECOND]["data_offsets"][0]
    return PAYLOAD[:at] + struct.pack("<f", value) + PAYLOAD[at + 4 :]


SIZE_OF_FIRST = HEADER[FIRST]["data_offsets"][1]
DUPLICATE = json.dumps(HEADER)[:-1] + f', "{FIRST}": {json.dumps(HEADER[FIRST])}}}'

ATTACKS = [
    Attack("empty", b"", PayloadMalformed, "inside its length field"),
    Attack("only_half_a_length", b"\x01\x00\x00", PayloadMalformed, "inside its length field"),
    Attack("huge_header", (1 << 62).to_bytes(8, "little") + b"{}", TooLarge, "the header claims"),
    Attack("header_over_the_limit", _packed(b"{" + b" " * (1 << 20) + b"}"), TooLarge, "the header claims"),
    Attack(
        "header_past_the_end", (4096).to_bytes(8, "little") + b"{}", PayloadMalformed, "the whole payload has"
    ),
    Attack("header_not_an_object", _packed(b"[]"), PayloadMalformed, "does not start with a JSON object"),
    Attack("header_not_json", _packed(b"{'a': 1}"), PayloadMalformed, "is not JSON"),
    Attack("header_not_utf8", _packed(b'{"\xff": 1}'), PayloadMalformed, "is not JSON"),
    Attack("header_with_nan", _packed(b'{"a": NaN}'), PayloadMalformed, "is not a number that JSON knows"),
    Attack("deep_nesting", _packed(b'{"a":' * 100_000), PayloadMalformed, "nested too deeply"),
    Attack("deep_lists", _packed(b'{"a":' + b"[" * 400_000), PayloadMalformed, "nested too deeply"),
    Attack("endless_number", _packed(b'{"a":' + b"9" * 100_000 + b"}"), PayloadMalformed, "is not JSON"),
    Attack(
        "bytes_after_the_header", _packed(json.dumps(HEADER).encode() + b"{}"), PayloadMalformed, "not JSON"
    ),
    Attack("no_tensors", _packed(b"{}", b""), TooLarge, "lists 0 tensors"),
    Attack(
        "too_many_tensors",
        _packed(
            {f"t{n}": {"dtype": "F32", "shape": [], "data_offsets": [4 * n, 4 * n + 4]} for n in range(4097)}
        ),
        TooLarge,
        "lists 4097 tensors",
    ),
    Attack("metadata", _packed({"__metadata__": {"a": "b"}, **HEADER}), PayloadMalformed, "__metadata__"),
    Attack("duplicate_name", _packed(DUPLICATE.encode()), PayloadMalformed, "stands twice"),
    Attack("entry_is_a_list", _packed({**HEADER, FIRST: []}), PayloadMalformed, "must have exactly"),
    Attack("extra_field", _with(FIRST, code="import os"), PayloadMalformed, "must have exactly"),
    Attack(
        "wrong_dtype_i64", _with(FIRST, dtype="I64"), PayloadMalformed, "allowed are F32, F16, BF16 and I8"
    ),
    Attack("wrong_dtype_object", _with(FIRST, dtype={"a": 1}), PayloadMalformed, "allowed are"),
    Attack("declared_other_dtype", _with(FIRST, dtype="F16", shape=[8]), PayloadMalformed, "is not the one"),
    Attack("negative_dimension", _with(FIRST, shape=[-4]), PayloadMalformed, "whole numbers"),
    Attack("boolean_dimension", _with(FIRST, shape=[True, 4]), PayloadMalformed, "whole numbers"),
    Attack("fractional_dimension", _with(FIRST, shape=[4.0]), PayloadMalformed, "whole numbers"),
    Attack("zero_dimension", _with(FIRST, shape=[0]), TooLarge, "no elements"),
    Attack("nine_dimensions", _with(FIRST, shape=[1] * 8 + [4]), TooLarge, "9 dimensions"),
    Attack(
        "overflowing_shape", _with(FIRST, shape=[1 << 32, 1 << 32]), TooLarge, "more bytes than a payload"
    ),
    Attack("shape_of_other_size", _with(FIRST, shape=[5]), PayloadMalformed, "for its shape"),
    Attack(
        "reversed_offsets",
        _with(FIRST, data_offsets=[SIZE_OF_FIRST, 0]),
        PayloadMalformed,
        "claims the bytes",
    ),
    Attack("one_offset", _with(FIRST, data_offsets=[0]), PayloadMalformed, "whole numbers"),
    Attack("negative_offset", _with(FIRST, data_offsets=[-4, 12]), PayloadMalformed, "whole numbers"),
    Attack("overlapping_offsets", _shift_from(SECOND, -4), PayloadMalformed, "overlap"),
    Attack("gapped_offsets", _shift_from(SECOND, 4), PayloadMalformed, "gap of 4 bytes"),
    Attack("gap_at_the_start", _shift_from(FIRST, 4), PayloadMalformed, "gap of 4 bytes"),
    Attack(
        "offset_out_of_range", _with(FIRST, data_offsets=[0, 1 << 40]), PayloadMalformed, "claims the bytes"
    ),
    Attack("truncated_data", PAYLOAD[:-1], PayloadMalformed, "the data section at"),
    Attack("truncated_header", PAYLOAD[: 8 + HEADER_BYTES // 2], PayloadMalformed, "the whole payload has"),
    Attack("appended_bytes", PAYLOAD + b"#!/bin/sh", PayloadMalformed, "belong to none"),
    Attack("path_in_a_name", _rename(FIRST, "../../etc/cron.d/x"), PayloadMalformed, "not a tensor's name"),
    Attack("absolute_path_name", _rename(FIRST, "/etc/passwd"), PayloadMalformed, "not a tensor's name"),
    Attack("parent_in_a_name", _rename(FIRST, "layers..bias"), PayloadMalformed, "not a tensor's name"),
    Attack("nul_in_a_name", _rename(FIRST, "a\0b"), PayloadMalformed, "not a tensor's name"),
    Attack("newline_name", _rename(FIRST, FIRST + "\n"), PayloadMalformed, "not a tensor's name"),
    Attack("empty_name", _rename(FIRST, ""), PayloadMalformed, "not a tensor's name"),
    Attack("endless_name", _rename(FIRST, "a" * 10_000), PayloadMalformed, "not a tensor's name"),
    Attack("dunder_name", _rename(FIRST, "__class__"), PayloadMalformed, "is not the one"),
    Attack(
        "swapped_names",
        _edited(lambda h: h.update({FIRST: h[SECOND], SECOND: h[FIRST]})),
        PayloadMalformed,
        "",
    ),
    Attack(
        "one_tensor_for_all",
        _packed({FIRST: {"dtype": "F32", "shape": [len(DATA) // 4], "data_offsets": [0, len(DATA)]}}),
        PayloadMalformed,
        "is not the one",
    ),
    Attack("nan", _weight(math.nan), TensorNotFinite, "holds nan"),
    Attack("infinity", _weight(math.inf), TensorNotFinite, "holds inf"),
    Attack("minus_infinity", _weight(-math.inf), TensorNotFinite, "holds -inf"),
    Attack("absurd_magnitude", _weight(1e30), TensorNotFinite, "must be finite and within"),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_ends_in_its_error_and_allocates_little(attack, tmp_path):
    path = tmp_path / "payload"
    path.write_bytes(attack.payload)
    manifest = MANIFEST.model_copy(
        update={"payload_sha256": sha256_hex(attack.payload), "payload_bytes": len(attack.payload)}
    )
    too_short = len(attack.payload) <= len(DATA)  # the manifest's own check would stop it before the header's
    tracemalloc.start()
    try:
        with pytest.raises(attack.error, match=attack.message or None) as caught:
            read_header(path, Limits()) if too_short else verify_payload(manifest, path)
        assert type(caught.value) is attack.error
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_other_bytes_of_the_same_length(tmp_path):
    path = tmp_path / "payload"
    path.write_bytes(PAYLOAD[:-1] + bytes([PAYLOAD[-1] ^ 1]))
    with pytest.raises(DigestMismatch, match="the payload's sha256 is"):
        load_module(MANIFEST, path)


def test_a_payload_of_another_length(tmp_path):
    path = tmp_path / "payload"
    path.write_bytes(PAYLOAD[:-1])
    with pytest.raises(PayloadMalformed, match="the manifest says"):
        verify_payload(MANIFEST, path)


def test_a_payload_over_the_limit_is_not_read(tmp_path):
    path = tmp_path / "payload"
    path.write_bytes(PAYLOAD)
    with pytest.raises(TooLarge, match="over the limit"):
        verify_payload(MANIFEST, path, Limits(payload_bytes=len(PAYLOAD) - 1))


def test_a_python_archive_is_no_payload(tmp_path):
    """What `torch.save` writes (a zip of instructions to Python) is never opened as such."""
    archive = b"PK\x03\x04" + b"archive/data.pkl" + bytes(len(PAYLOAD) - 20)
    path = tmp_path / "payload"
    path.write_bytes(archive)
    manifest = MANIFEST.model_copy(
        update={"payload_sha256": sha256_hex(archive), "payload_bytes": len(archive)}
    )
    with pytest.raises(TooLarge, match="the header claims"):
        verify_payload(manifest, path)


def test_the_manifest_itself_is_checked_again(tmp_path):
    path = tmp_path / "payload"
    path.write_bytes(PAYLOAD)
    tensors = MANIFEST.tensors[1:]
    with pytest.raises(ManifestInvalid, match="also needs"):
        verify_payload(MANIFEST.model_copy(update={"tensors": tensors}), path)
