"""The header of a safetensors file, read by hand.

The library parses the header of a file that it opens; here it is read first, with bounds, so that the
library only ever sees a file whose every offset is known to be good. Format: 8 bytes little-endian
header length, a JSON object name -> {dtype, shape, data_offsets}, then the tensors' bytes.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, cast

from transplant.artifact.manifest import refuse_constant, refuse_repeated_keys
from transplant.artifact.manifest_fields import ITEM_BYTES, WEIGHT_DTYPES, Dtype, TensorSpec
from transplant.errors import PayloadMalformed, TooLarge

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from transplant.artifact.limits import Limits

_LENGTH_BYTES = 8
_DTYPES: Mapping[str, Dtype] = {
    "F32": "f32", "F16": "f16", "BF16": "bf16", "I8": "i8", "U8": "u8", "I32": "i32",
}  # fmt: skip
_FIELDS = frozenset({"dtype", "shape", "data_offsets"})


def read_header(
    path: Path, limits: Limits, dtypes: frozenset[Dtype] = WEIGHT_DTYPES
) -> tuple[TensorSpec, ...]:
    """Return the tensors of a safetensors file in the order of their bytes.

    Raises:
        TooLarge: if the header, the number of tensors or their dimensions are over the limits.
        PayloadMalformed: if anything else is not as the format (and its subset that we allow) says:
            dtypes other than `dtypes`, metadata, gaps, overlaps, bytes beyond the last tensor.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length_field = file.read(_LENGTH_BYTES)
        if len(length_field) < _LENGTH_BYTES:
            raise PayloadMalformed(
                f"the payload ends after {len(length_field)} bytes, inside its length field"
            )
        length = int.from_bytes(length_field, "little")
        if length > limits.header_bytes:
            raise TooLarge(f"the header claims {length} bytes; at most {limits.header_bytes} are read")
        if _LENGTH_BYTES + length > size:
            raise PayloadMalformed(f"the header claims {length} bytes, the whole payload has {size}")
        header = file.read(length)
    return parse_header(header, size - _LENGTH_BYTES - length, limits, dtypes)


def parse_header(
    header: bytes, data_bytes: int, limits: Limits, dtypes: frozenset[Dtype] = WEIGHT_DTYPES
) -> tuple[TensorSpec, ...]:
    """Return the tensors that `header` describes, given the length of the data section after it.

    Raises:
        TooLarge: see `read_header`.
        PayloadMalformed: see `read_header`.
    """
    if not header.startswith(b"{"):
        raise PayloadMalformed("the header does not start with a JSON object")
    try:
        document: object = json.loads(
            header, object_pairs_hook=refuse_repeated_keys, parse_constant=refuse_constant
        )
    except RecursionError as error:
        raise PayloadMalformed("the header is nested too deeply") from error
    except ValueError as error:
        raise PayloadMalformed(f"the header is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise PayloadMalformed("the header is not a JSON object")
    entries = cast("dict[str, object]", document)
    if "__metadata__" in entries:
        raise PayloadMalformed(
            "the header carries __metadata__; everything about a module is in its manifest"
        )
    if not 0 < len(entries) <= limits.tensors:
        raise TooLarge(f"the header lists {len(entries)} tensors; 1 to {limits.tensors} are allowed")
    tensors = [_tensor(name, entry, limits, dtypes) for name, entry in entries.items()]
    tensors.sort(key=lambda pair: pair[0].offset_bytes)
    position = 0
    for spec, end in tensors:
        if spec.offset_bytes < position:
            raise PayloadMalformed(f"the bytes of {spec.name} overlap those of the tensor before it")
        if spec.offset_bytes > position:
            raise PayloadMalformed(
                f"there is a gap of {spec.offset_bytes - position} bytes before {spec.name}"
            )
        if end > data_bytes:
            raise PayloadMalformed(f"{spec.name} ends at {end}, the data section at {data_bytes}")
        if end - spec.offset_bytes != spec.size_bytes:
            raise PayloadMalformed(
                f"{spec.name} needs {spec.size_bytes} bytes for its shape and has {end - spec.offset_bytes}"
            )
        position = end
    if position != data_bytes:
        raise PayloadMalformed(f"{data_bytes - position} bytes after the last tensor belong to none")
    return tuple(spec for spec, _ in tensors)


def _tensor(name: str, entry: object, limits: Limits, dtypes: frozenset[Dtype]) -> tuple[TensorSpec, int]:
    shown = repr(name[:80])
    if not isinstance(entry, dict) or _FIELDS.symmetric_difference(entry):
        raise PayloadMalformed(f"the entry of {shown} must have exactly {', '.join(sorted(_FIELDS))}")
    fields = cast("dict[str, object]", entry)
    dtype = fields["dtype"]
    if not isinstance(dtype, str) or _DTYPES.get(dtype) not in dtypes:
        *others, last = (name for name, short in _DTYPES.items() if short in dtypes)
        raise PayloadMalformed(
            f"{shown} has the dtype {str(dtype)[:16]!r}; allowed are {', '.join(others)} and {last}"
        )
    shape, offsets = _naturals(fields["shape"]), _naturals(fields["data_offsets"])
    if shape is None or offsets is None or len(offsets) != 2:
        raise PayloadMalformed(f"shape and data_offsets of {shown} must be lists of whole numbers from 0")
    if len(shape) > limits.dims:
        raise TooLarge(f"{shown} has {len(shape)} dimensions; at most {limits.dims} are allowed")
    if 0 in shape or math.prod(shape) * ITEM_BYTES[_DTYPES[dtype]] > limits.payload_bytes:
        raise TooLarge(
            f"{shown} has the shape {str(shape)[:80]}: no elements, or more bytes than a payload may have"
        )
    start, end = offsets
    if start > end or end > limits.payload_bytes:
        raise PayloadMalformed(f"{shown} claims the bytes {str(start)[:20]} to {str(end)[:20]}")
    try:
        return TensorSpec(name=name, dtype=_DTYPES[dtype], shape=shape, offset_bytes=start), end
    except ValueError as error:
        raise PayloadMalformed(
            f"{shown} is not a tensor's name: letters, digits, '_' and inner '.'"
        ) from error


def _naturals(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list):
        return None
    items = cast("list[object]", value)
    if not all(type(item) is int and item >= 0 for item in items):
        return None
    return tuple(cast("list[int]", items))
