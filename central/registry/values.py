"""What the registry hands out: frozen values, never rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from central.merge.state import MergeStatus
    from central.merge.tasks import MergeTask
    from transplant.types import ModuleKind, Role, Task


@dataclass(frozen=True)
class Certificate:
    """A client certificate that this center issued."""

    serial: str
    role: Role
    name: str
    expires_at: datetime
    revoked: bool


@dataclass(frozen=True)
class RegisteredModule:
    """A module of the registry; `manifest` are the canonical bytes that its id is the digest of."""

    module_id: str
    position: int
    site: str
    category: str
    kind: ModuleKind
    task: Task | None
    payload_sha256: str
    payload_bytes: int
    manifest: bytes


@dataclass(frozen=True)
class DeclaredUpload:
    """A module that is not decided about. The upload's id is the module's.

    `received_at` once every byte is in the store and admission is what is left.
    """

    upload_id: str
    site: str
    payload_sha256: str
    payload_bytes: int
    manifest: bytes
    declared_at: datetime
    received_at: datetime | None = None


@dataclass(frozen=True)
class SiteUse:
    """What a site uses of its quota.

    Registered and declared bytes; modules, uploads under way, those that await admission, and the
    rejected modules that the registry remembers.
    """

    registered_bytes: int
    declared_bytes: int
    modules: int
    open_uploads: int
    received: int = 0
    rejected: int = 0


class AdmissionVerdict(StrEnum):
    """What admission can decide; an operator may take a rejection back."""

    REGISTERED = "registered"
    REJECTED = "rejected"
    RECALLED = "recalled"


@dataclass(frozen=True)
class Admission:
    """A verdict about a module.

    `error` and `reason` are empty where it was registered; `seconds` is what the checks took.
    `fingerprint` is comparable between modules of one architecture, kind and task; empty where there is none.
    """

    module_id: str
    site: str
    verdict: AdmissionVerdict
    payload_sha256: str
    payload_bytes: int
    at: datetime
    error: str = ""
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict[str, float])
    fingerprint: tuple[float, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class StoredMerge:
    """A merge task, who asked for it, and where it stands."""

    position: int
    teacher_id: str
    task: MergeTask
    status: MergeStatus


@dataclass(frozen=True)
class Transition:
    """One step of a merge's life, with its figures after it."""

    event: str
    from_state: str
    to_state: str
    reason: str
    at: datetime
    figures: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class SignedVerdict:
    """A site's signature under its verdict, and the certificate (PEM) whose key made it."""

    signature: bytes
    certificate: bytes


@dataclass(frozen=True)
class StoredVerdict:
    """What the owning site measured; `signed` is None where the operator let it go unsigned."""

    site: str
    closed: float
    figures: Mapping[str, float]
    reported_at: datetime
    signed: SignedVerdict | None = None


@dataclass(frozen=True)
class EventRecord:
    """Something that watchers are told; `category` is "" where everybody may know."""

    event_id: int
    kind: str
    subject: str
    category: str
    detail: str


@dataclass(frozen=True)
class Comparison:
    """One thing compared before and after a publication (a module's bytes, a route's logits)."""

    subject: str
    before_sha256: str
    after_sha256: str
