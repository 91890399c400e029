"""The manifest: what a module is, in one canonical document whose sha256 is the module's id."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

from pydantic import FailFast, Field, ValidationError, field_validator, model_validator

from transplant.artifact.digest import canonical_json, sha256_hex
from transplant.artifact.limits import DEFAULT_LIMITS, Limits
from transplant.artifact.manifest_fields import (
    ITEM_BYTES,
    ArchitectureModel,
    CategoryName,
    FeatureStatistics,
    Float,
    HyperParameter,
    LibraryText,
    Part,
    SeamModel,
    Sha256,
    SiteName,
    TensorSpec,
    TrainingRecord,
    Uint63,
    Word,
    allowed_dtypes,
    scale_of,
)
from transplant.errors import ManifestInvalid, TooLarge
from transplant.nets.architecture_table import checked_architecture, seam_of
from transplant.nets.disclosure_layouts import DISCLOSED_KINDS, disclosure_seam
from transplant.types import Architecture, Disclosure, ModuleKind, Seam, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "ArchitectureModel",
    "FeatureStatistics",
    "HyperParameter",
    "Manifest",
    "SeamModel",
    "TensorSpec",
    "TrainingRecord",
    "check_layout",
    "implied_seam",
    "parse_manifest",
    "raise_manifest_invalid",
]


_MOST_KEYS = 256
_PLAIN_PART = re.compile(r"[\w\[\]-]{1,64}", re.ASCII)


class Manifest(Part):
    """What a module is, said by whoever made it. Frozen; equal content is one module."""

    schema_version: Literal[1] = 1
    site: SiteName
    category: CategoryName
    kind: ModuleKind
    task: Task | None
    architecture: ArchitectureModel
    seam: SeamModel
    tensors: Annotated[
        tuple[TensorSpec, ...], Field(min_length=1, max_length=DEFAULT_LIMITS.tensors), FailFast()
    ]
    payload_sha256: Sha256
    payload_bytes: Annotated[Uint63, Field(ge=1)]
    statistics: FeatureStatistics = FeatureStatistics()
    metrics: Annotated[dict[Word, Float], Field(max_length=64)] = {}  # noqa: RUF012 - pydantic copies it
    training: TrainingRecord = TrainingRecord()
    parents: Annotated[tuple[Sha256, ...], Field(max_length=64), FailFast()] = ()
    libraries: Annotated[dict[LibraryText, LibraryText], Field(max_length=64)] = {}  # noqa: RUF012
    transfer_forbidden: bool = False
    """The site's licence of use: others may answer questions with the module, but not learn from it."""

    @field_validator("tensors")
    @classmethod
    def _each_tensor_once(cls, tensors: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        repeated = _first_repeated(tensor.name for tensor in tensors)
        if repeated is not None:
            raise ValueError(f"the tensor {repeated} is listed twice")
        return tensors

    @field_validator("parents")
    @classmethod
    def _each_parent_once(cls, parents: tuple[str, ...]) -> tuple[str, ...]:
        if _first_repeated(parents) is not None:
            raise ValueError("a parent is named twice")
        return parents

    @model_validator(mode="after")
    def _kind_and_task_agree(self) -> Manifest:
        if (self.kind in (ModuleKind.CATEGORY, ModuleKind.STATISTICS)) != (self.task is None):
            raise ValueError("task: a category module serves every task and names none; others name theirs")
        if self.kind in DISCLOSED_KINDS and len(self.parents) != 1:
            raise ValueError(f"parents: {self.kind} name one, the category module that they are about")
        if self.kind is ModuleKind.TASK and not self.parents:
            raise ValueError("parents: a task module names the category module that it was trained on")
        if self.kind is not ModuleKind.ADAPTER and not (self.seam.height and self.seam.width):
            raise ValueError("seam: height and width must be at least 1")
        if self.statistics.level is not Disclosure.NONE:
            for name in ("channel_mean", "channel_variance"):
                if len(getattr(self.statistics, name)) != self.seam.channels:
                    raise ValueError(f"statistics.{name}: must have one value for each seam channel")
        return self

    def canonical_bytes(self) -> bytes:
        """Return the document that is stored, sent and hashed."""
        document = self.model_dump(mode="json")
        if not self.transfer_forbidden:
            del document["transfer_forbidden"]  # what forbids nothing has the bytes that it always had
        return canonical_json(document)

    @property
    def module_id(self) -> str:
        """Sha256 of `canonical_bytes`: content-addressed, whoever computes it."""
        return sha256_hex(self.canonical_bytes())


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest that came from outside.

    Raises:
        ManifestInvalid: naming the path of the field at fault; also for a document over 1 MiB, nesting
            that no manifest has, a repeated key, or tensors that are not the architecture's.
        UnknownArchitecture: if the architecture is not in the closed table.
    """
    if len(data) > DEFAULT_LIMITS.manifest_bytes:
        raise ManifestInvalid(
            f"the manifest has {len(data)} bytes; at most {DEFAULT_LIMITS.manifest_bytes} are read"
        )
    try:
        json.loads(data, object_pairs_hook=_small_object, parse_constant=refuse_constant)
        manifest = Manifest.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise_manifest_invalid(error)
    except RecursionError as error:
        raise ManifestInvalid("the manifest is nested too deeply") from error
    except ValueError as error:  # JSON, UTF-8, numbers of thousands of digits
        raise ManifestInvalid(f"the manifest is not JSON: {error}") from error
    check_layout(manifest)
    return manifest


def check_layout(manifest: Manifest, limits: Limits = DEFAULT_LIMITS) -> None:
    """Check the manifest against the limits and the closed table; nothing is allocated.

    Raises:
        TooLarge: if the declared payload is over the limit.
        UnknownArchitecture: if the architecture is not in the table for this kind.
        ManifestInvalid: if seam, tensors or payload size are not those of the architecture.
    """
    from transplant.nets.architectures import tensor_layout  # torch: seconds that only reading a layout needs

    if manifest.payload_bytes > limits.payload_bytes:
        raise TooLarge(f"payload_bytes: {manifest.payload_bytes} is over the limit of {limits.payload_bytes}")
    architecture = checked_architecture(manifest.architecture.to_type(), manifest.kind)
    seam = implied_seam(architecture, manifest.kind)
    if manifest.seam.to_type() != seam:
        raise ManifestInvalid(f"seam: {manifest.seam.to_type()} is not the architecture's, {seam}")
    expected = _stored_layout(tensor_layout(architecture, manifest.kind, manifest.task), manifest, limits)
    declared = {tensor.name: tensor.shape for tensor in manifest.tensors}
    for index, tensor in enumerate(manifest.tensors):
        if tensor.name not in expected:
            raise ManifestInvalid(f"tensors.{index}.name: {architecture.id} has no tensor {tensor.name}")
        if tensor.shape != expected[tensor.name]:
            raise ManifestInvalid(
                f"tensors.{index}.shape: {tensor.name} is {list(expected[tensor.name])} "
                f"in {architecture.id}, not {list(tensor.shape)}"
            )
        if tensor.dtype not in (allowed := allowed_dtypes(manifest.kind, tensor.name)):
            raise ManifestInvalid(
                f"tensors.{index}.dtype: {tensor.name} is {' or '.join(sorted(allowed))}, not {tensor.dtype}"
            )
    missing = sorted(set(expected) - set(declared))
    if missing:
        raise ManifestInvalid(f"tensors: {architecture.id} also needs {', '.join(missing[:8])}")
    _check_offsets(manifest)


def _stored_layout(
    layout: Mapping[str, tuple[int, ...]], manifest: Manifest, limits: Limits
) -> Mapping[str, tuple[int, ...]]:
    """Return name -> shape of what the payload holds: a net's tensors, and the scales of those in int8.

    Raises:
        TooLarge: if what is loaded would be over the limit, however short it is written.
        ManifestInvalid: if a vector is written in int8.
    """
    if manifest.kind in DISCLOSED_KINDS:
        return layout
    loaded_bytes = sum(math.prod(shape) for shape in layout.values()) * ITEM_BYTES["f32"]
    if loaded_bytes > limits.payload_bytes:
        raise TooLarge(f"tensors: {loaded_bytes} bytes once loaded; the limit is {limits.payload_bytes}")
    stored = dict(layout)
    for index, tensor in enumerate(manifest.tensors):
        if tensor.dtype == "i8" and tensor.name in layout:
            if len(layout[tensor.name]) < 2:
                raise ManifestInvalid(f"tensors.{index}.dtype: {tensor.name} is a vector; those are no int8")
            stored[scale_of(tensor.name)] = layout[tensor.name][:1]
    return stored


def implied_seam(architecture: Architecture, kind: ModuleKind) -> Seam:
    """Return the seam of a checked architecture.

    An adapter serves every height and width, said as 0; answers name the shape of one answer.
    """
    if kind is ModuleKind.ADAPTER:
        return Seam(architecture.ints("channels_out")[0], 0, 0)
    if kind in DISCLOSED_KINDS:
        return disclosure_seam(architecture)
    return seam_of(architecture)


def raise_manifest_invalid(error: ValidationError) -> NoReturn:
    """Raise pydantic's first fault as one plain sentence with the field's path."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = ".".join(_shown(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "there is no such field"
    others = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    raise ManifestInvalid(f"{path}: {message}{others}" if path else f"{message}{others}") from error


def _shown(part: int | str) -> str:
    """Return a part of a path for a log line: a key can be of any length, and full of control characters."""
    text = str(part)
    return text if _PLAIN_PART.fullmatch(text) else repr(text[:64])


def _check_offsets(manifest: Manifest) -> None:
    position = 0
    for tensor in sorted(manifest.tensors, key=lambda spec: spec.offset_bytes):
        if tensor.offset_bytes != position:
            fault = "overlaps" if tensor.offset_bytes < position else "leaves a gap after"
            raise ManifestInvalid(f"tensors: {tensor.name} {fault} the tensor before it")
        position += tensor.size_bytes
    if manifest.payload_bytes <= position:
        raise ManifestInvalid(
            f"payload_bytes: {manifest.payload_bytes} cannot hold {position} bytes of tensors"
        )


def _small_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(pairs) > _MOST_KEYS:
        raise ManifestInvalid(
            f"one object has {len(pairs)} keys; no object of a manifest has over {_MOST_KEYS}"
        )
    return refuse_repeated_keys(pairs)


def refuse_repeated_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Serve as `object_pairs_hook`: a key that stands twice would mean two things to two readers."""
    repeated = _first_repeated(key for key, _ in pairs)
    if repeated is not None:
        raise ValueError(f"the key {repeated[:64]!r} stands twice in one object")
    return dict(pairs)


def _first_repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def refuse_constant(name: str) -> NoReturn:
    """Serve as `parse_constant`: NaN and infinities are not JSON."""
    raise ValueError(f"{name} is not a number that JSON knows")
