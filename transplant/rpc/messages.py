"""What the center answers, as plain values: callers of `CentralClient` never see a protobuf message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transplant.nets.disclosures import ProbeRequest
    from transplant.types import ByteRange, ModuleKind, Task


@dataclass(frozen=True)
class Declared:
    """Answer to Declare; `upload_id` is empty where the module is registered already."""

    upload_id: str
    module_id: str
    missing: tuple[ByteRange, ...]
    registered: bool


@dataclass(frozen=True)
class UploadState:
    """How far an upload has come: every byte before `durable_offset` survives a crash of the center."""

    durable_offset: int
    missing: tuple[ByteRange, ...]
    registered: bool
    module_id: str


@dataclass(frozen=True)
class ModuleSummary:
    """One line of the catalog."""

    module_id: str
    site: str
    category: str
    kind: ModuleKind
    task: Task | None
    payload_bytes: int


@dataclass(frozen=True)
class AskedProbe:
    """What the center asks about the task module on one category module, in place of the module itself."""

    category_module: str
    request: ProbeRequest


@dataclass(frozen=True)
class Event:
    """Something that happened at the center; ids rise."""

    event_id: int
    kind: str
    subject: str
    detail: str
