"""What the center answers, as plain values: callers of `CentralClient` never see a protobuf message."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from transplant.errors import rejection_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from transplant.nets.disclosures import ProbeRequest
    from transplant.types import ByteRange, Identity, ModuleKind, Task

PROTOCOL = 1
"""What the two sides must have in common; rises when an older site cannot talk to a center any more."""


@dataclass(frozen=True)
class Declared:
    """Answer to Declare; `upload_id` is empty where the module is registered already."""

    upload_id: str
    module_id: str
    missing: tuple[ByteRange, ...]
    registered: bool


class UploadPhase(StrEnum):
    """Where a declared module stands."""

    RECEIVING = "receiving"
    RECEIVED = "received"
    REGISTERED = "registered"
    REJECTED = "rejected"


@dataclass(frozen=True)
class UploadState:
    """How far an upload has come: every byte before `durable_offset` survives a crash of the center.

    `error` and `reason` say why a module was rejected; `figures` are what admission measured of it.
    """

    durable_offset: int
    missing: tuple[ByteRange, ...]
    phase: UploadPhase
    module_id: str
    error: str = ""
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def registered(self) -> bool:
        """Tell whether the module is part of the registry."""
        return self.phase is UploadPhase.REGISTERED

    @property
    def decided(self) -> bool:
        """Tell whether admission is over."""
        return self.phase in (UploadPhase.REGISTERED, UploadPhase.REJECTED)

    def raise_rejection(self) -> None:
        """Raise what speaks against the module, where it was rejected.

        Raises:
            ArtifactRejected, NotFound: with the center's reasons.
        """
        if self.phase is UploadPhase.REJECTED:
            raise rejection_of(self.error, self.reason)


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


@dataclass(frozen=True)
class Described:
    """Who a caller is to its center, and what it must know of the center.

    Attributes:
        identity: as the certificate says.
        categories: that a site may bring.
        serial: of the certificate.
        expires_at: of the certificate.
        server_time: the center's clock when it answered.
        protocol: see `PROTOCOL`.
        release: of the center's program.
        renews: whether the center renews a certificate over the wire once it is old enough.
    """

    identity: Identity
    categories: tuple[str, ...]
    serial: str
    expires_at: datetime
    server_time: datetime
    protocol: int
    release: str
    renews: bool
