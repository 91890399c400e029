"""The parts of a manifest: bounded, frozen, and closed to fields that they do not know.

Lists stop at their first bad item: a megabyte of bad ones would otherwise become a gigabyte of error reports.
"""

from __future__ import annotations

import math
import struct
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, field_validator, model_validator

from transplant.errors import InvalidName
from transplant.types import Architecture, Disclosure, ModuleKind, Seam, checked_name

MIN_STATISTICS_SAMPLES = 10
"""Fewer images than this and a mean says too much about each of them."""


def _named(what: str, value: str) -> str:
    try:
        return checked_name(what, value)
    except InvalidName as error:
        raise ValueError(str(error)) from error


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value + 0.0  # -0.0 and 0.0 are one value and must have one digest


def _as_float32(value: float) -> float:
    """Round to the nearest float32: that is what the wire carries, and the digest must survive it."""
    try:
        return struct.unpack("<f", struct.pack("<f", _finite(value)))[0]
    except OverflowError as error:
        raise ValueError("is too large for a float32") from error


def _safe_tensor_name(value: str) -> str:
    if ".." in value or value.startswith(".") or value.endswith("."):
        raise ValueError("a tensor name has no empty part between its dots")
    return value


SiteName = Annotated[str, AfterValidator(lambda value: _named("site", value))]
CategoryName = Annotated[str, AfterValidator(lambda value: _named("category", value))]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
TensorName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]{1,200}$"), AfterValidator(_safe_tensor_name)]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
LibraryText = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+-]{1,64}$")]
Float = Annotated[float, AfterValidator(_finite)]
Float32 = Annotated[float, AfterValidator(_as_float32)]
Uint32 = Annotated[int, Field(ge=0, lt=1 << 32)]
Uint63 = Annotated[int, Field(ge=0, lt=1 << 63)]


class Part(BaseModel):
    """What every part has in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class HyperParameter(Part):
    """One named integer list."""

    name: Word
    values: Annotated[tuple[Annotated[int, Field(ge=0, lt=1 << 31)], ...], Field(max_length=4096), FailFast()]


class ArchitectureModel(Part):
    """An entry of the closed architecture table; whether it is one, `checked_architecture` says."""

    id: Word
    hyper_parameters: Annotated[tuple[HyperParameter, ...], Field(max_length=32), FailFast()] = ()

    @classmethod
    def of(cls, architecture: Architecture) -> ArchitectureModel:
        """Return the document's form of `architecture`."""
        return cls(
            id=architecture.id,
            hyper_parameters=tuple(
                HyperParameter(name=name, values=values) for name, values in architecture.hyper_parameters
            ),
        )

    def to_type(self) -> Architecture:
        """Return the value object that the nets are built from."""
        return Architecture(self.id, tuple((entry.name, entry.values) for entry in self.hyper_parameters))


class SeamModel(Part):
    """Shape (C, H, W) of the feature map; an adapter serves every height and width, written as 0."""

    channels: Annotated[int, Field(ge=1, le=65536)]
    height: Annotated[int, Field(ge=0, le=65536)]
    width: Annotated[int, Field(ge=0, le=65536)]

    @classmethod
    def of(cls, seam: Seam) -> SeamModel:
        """Return the document's form of `seam`."""
        return cls(channels=seam.channels, height=seam.height, width=seam.width)

    def to_type(self) -> Seam:
        """Return the value object."""
        return Seam(self.channels, self.height, self.width)


Dtype = Literal["f32", "f16", "bf16", "u8", "i32", "i8"]
ITEM_BYTES: dict[Dtype, int] = {"f32": 4, "f16": 2, "bf16": 2, "u8": 1, "i32": 4, "i8": 1}
WEIGHT_DTYPES: frozenset[Dtype] = frozenset({"f32", "f16", "bf16", "i8"})
LARGEST_CODE = 127
"""Of a weight in int8: codes are symmetric, -128 is none."""
_SCALE = ".int8_scale"
DISCLOSED_DTYPES: frozenset[Dtype] = frozenset({"f32", "u8", "i32"})
_DISCLOSED: dict[str, Dtype] = {"sample_count": "i32", "chosen": "i32", "codes": "u8"}


def scale_of(tensor_name: str) -> str:
    """Return the name of the tensor with the scales of a tensor in int8."""
    return f"{tensor_name}{_SCALE}"


def is_scale(tensor_name: str) -> bool:
    """Tell whether a tensor holds scales; no architecture has a tensor of such a name."""
    return tensor_name.endswith(_SCALE)


def allowed_dtypes(kind: ModuleKind, tensor_name: str) -> frozenset[Dtype]:
    """Return what a tensor may be: weights are floats of any width or int8 codes, which scales go with.

    What is disclosed has one type each.
    """
    if kind not in (ModuleKind.STATISTICS, ModuleKind.ANSWERS):
        return frozenset({"f32"}) if is_scale(tensor_name) else WEIGHT_DTYPES
    return frozenset({_DISCLOSED.get(tensor_name.rpartition(".")[2], "f32")})


class TensorSpec(Part):
    """One tensor of the payload; `offset_bytes` counts from the start of the safetensors data section."""

    name: TensorName
    dtype: Dtype
    shape: Annotated[tuple[Annotated[int, Field(ge=1, lt=1 << 31)], ...], Field(max_length=8), FailFast()]
    offset_bytes: Uint63

    @property
    def size_bytes(self) -> int:
        """Length of the tensor's bytes."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]


class FeatureStatistics(Part):
    """What a site tells about its features, at the level that it chose itself.

    A manifest carries the levels `none` and `scale`; figures of a higher one are an artifact of their own.
    """

    level: Disclosure = Disclosure.NONE
    sample_count: Uint63 = 0
    mean_norm: Float = 0.0
    channel_mean: Annotated[tuple[Float32, ...], Field(max_length=65536), FailFast()] = ()
    channel_variance: Annotated[tuple[Float32, ...], Field(max_length=65536), FailFast()] = ()

    @field_validator("level")
    @classmethod
    def _carried(cls, level: Disclosure) -> Disclosure:
        if level not in (Disclosure.NONE, Disclosure.SCALE):
            raise ValueError(
                f"schema 1 carries the levels none and scale, not {level}: seal a statistics artifact"
            )
        return level

    @model_validator(mode="after")
    def _fits_level(self) -> FeatureStatistics:
        if self.level is Disclosure.NONE:
            if self.sample_count or self.mean_norm or self.channel_mean or self.channel_variance:
                raise ValueError("the level is none, so no figure may be given")
            return self
        if self.sample_count < MIN_STATISTICS_SAMPLES:
            raise ValueError(f"statistics need at least {MIN_STATISTICS_SAMPLES} samples")
        if self.mean_norm < 0 or any(value < 0 for value in self.channel_variance):
            raise ValueError("a norm or a variance is negative")
        return self


class TrainingRecord(Part):
    """How the module came to be; counts and sizes only."""

    sample_count: Uint63 = 0
    raw_bytes: Uint63 = 0
    seed: Uint63 = 0
    epochs: Uint32 = 0
