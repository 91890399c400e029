"""Every table of the registry, as typed rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    Table,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from central.registry.column_types import Figures, PlainText, ShortText, UtcDateTime

_COUNTER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only in INTEGER PRIMARY KEY
_DIGEST = ShortText(64)
_NAME = ShortText(63)


class Row(DeclarativeBase):
    """Base of every table."""


def table_of(row: type[Row]) -> Table:
    """Return the table behind a class of rows, for plain statements.

    What is read or written several times a merge is so: that costs a quarter of passing through objects. Rows
    that change are then never read as objects, which would not see what a plain statement wrote.
    """
    return cast("Table", row.__table__)


class SiteRow(Row):
    """A site that has been provisioned."""

    __tablename__ = "sites"
    name: Mapped[str] = mapped_column(_NAME, primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SiteCategoryRow(Row):
    """A category that a site may bring."""

    __tablename__ = "site_categories"
    site: Mapped[str] = mapped_column(ForeignKey("sites.name"), primary_key=True)
    category: Mapped[str] = mapped_column(_NAME, primary_key=True)


class CertificateRow(Row):
    """A client certificate that this center issued; calls with any other are refused."""

    __tablename__ = "certificates"
    serial: Mapped[str] = mapped_column(_DIGEST, primary_key=True)
    role: Mapped[str] = mapped_column(ShortText(16))
    name: Mapped[str] = mapped_column(_NAME, index=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class BlobRow(Row):
    """A payload in the blob store that some module refers to."""

    __tablename__ = "blobs"
    sha256: Mapped[str] = mapped_column(_DIGEST, primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class ModuleRow(Row):
    """A registered module; `manifest` holds the canonical bytes whose sha256 is the id."""

    __tablename__ = "modules"
    module_id: Mapped[str] = mapped_column(_DIGEST, primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, unique=True)
    site: Mapped[str] = mapped_column(_NAME, index=True)
    category: Mapped[str] = mapped_column(_NAME, index=True)
    kind: Mapped[str] = mapped_column(ShortText(16))
    task: Mapped[str | None] = mapped_column(ShortText(32))
    payload_sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"))
    manifest: Mapped[bytes] = mapped_column(LargeBinary)
    accepted_at: Mapped[datetime] = mapped_column(UtcDateTime)


class UploadRow(Row):
    """A declared module that is not decided about; the upload's id is the module's.

    `place` and `received_at` once every byte is in the store: its place in the queue for admission.
    """

    __tablename__ = "uploads"
    upload_id: Mapped[str] = mapped_column(_DIGEST, primary_key=True)
    site: Mapped[str] = mapped_column(ForeignKey("sites.name"), index=True)
    payload_sha256: Mapped[str] = mapped_column(_DIGEST)
    payload_bytes: Mapped[int] = mapped_column(BigInteger)
    manifest: Mapped[bytes] = mapped_column(LargeBinary)
    declared_at: Mapped[datetime] = mapped_column(UtcDateTime)
    place: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    received_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AdmissionRow(Row):
    """What admission decided about a module, with its figures: append-only, a module's newest row holds."""

    __tablename__ = "admissions"
    admission_id: Mapped[int] = mapped_column(_COUNTER, primary_key=True, autoincrement=True)
    module_id: Mapped[str] = mapped_column(_DIGEST, index=True)
    site: Mapped[str] = mapped_column(_NAME, index=True)
    verdict: Mapped[str] = mapped_column(ShortText(16))
    error: Mapped[str] = mapped_column(ShortText(64))
    reason: Mapped[str] = mapped_column(PlainText)
    payload_sha256: Mapped[str] = mapped_column(_DIGEST)
    payload_bytes: Mapped[int] = mapped_column(BigInteger)
    figures: Mapped[dict[str, float]] = mapped_column(Figures)
    fingerprint: Mapped[list[float]] = mapped_column(JSON)
    seconds: Mapped[float] = mapped_column(Float)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class TeacherRow(Row):
    """A complete teacher net: its site asked for a merge."""

    __tablename__ = "teachers"
    teacher_id: Mapped[str] = mapped_column(_DIGEST, primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, unique=True)
    site: Mapped[str] = mapped_column(_NAME)
    category: Mapped[str] = mapped_column(_NAME, index=True)
    category_module: Mapped[str] = mapped_column(ForeignKey("modules.module_id"))
    requested_at: Mapped[datetime] = mapped_column(UtcDateTime)


class TeacherTaskRow(Row):
    """One task module of a complete teacher."""

    __tablename__ = "teacher_tasks"
    teacher_id: Mapped[str] = mapped_column(ForeignKey("teachers.teacher_id"), primary_key=True)
    task: Mapped[str] = mapped_column(ShortText(32), primary_key=True)
    task_module: Mapped[str] = mapped_column(ForeignKey("modules.module_id"))


class TeacherAnswersRow(Row):
    """Answers that stand for a task module which its site keeps at home."""

    __tablename__ = "teacher_answers"
    teacher_id: Mapped[str] = mapped_column(ForeignKey("teachers.teacher_id"), primary_key=True)
    task: Mapped[str] = mapped_column(ShortText(32), primary_key=True)
    answers: Mapped[str] = mapped_column(ForeignKey("modules.module_id"))


class TeacherStatisticsRow(Row):
    """What a complete teacher's site disclosed about its features beyond their scale."""

    __tablename__ = "teacher_statistics"
    teacher_id: Mapped[str] = mapped_column(ForeignKey("teachers.teacher_id"), primary_key=True)
    statistics: Mapped[str] = mapped_column(ForeignKey("modules.module_id"))


class ProbeRequestRow(Row):
    """What the center asks about a category module; it stays as it is when the settings change."""

    __tablename__ = "probe_requests"
    category_module: Mapped[str] = mapped_column(ForeignKey("modules.module_id"), primary_key=True)
    task: Mapped[str] = mapped_column(ShortText(32), primary_key=True)
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)


class MergeRow(Row):
    """A merge task and where it stands; `task_document` is what `merge_key` is the digest of."""

    __tablename__ = "merges"
    merge_key: Mapped[str] = mapped_column(_DIGEST, primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, unique=True)
    teacher_id: Mapped[str] = mapped_column(ForeignKey("teachers.teacher_id"), index=True)
    site: Mapped[str] = mapped_column(_NAME)
    category: Mapped[str] = mapped_column(_NAME, index=True)
    task: Mapped[str] = mapped_column(ShortText(32))
    identity: Mapped[bool]
    supervised_by: Mapped[str | None] = mapped_column(_NAME)
    task_document: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(ShortText(16), index=True)
    adapter: Mapped[str | None] = mapped_column(ForeignKey("modules.module_id"))
    figures: Mapped[dict[str, float]] = mapped_column(Figures)
    reason: Mapped[str] = mapped_column(PlainText)
    attempts: Mapped[int]
    accepted: Mapped[bool]
    deadline: Mapped[datetime | None] = mapped_column(UtcDateTime)
    version_number: Mapped[int]


class MergeTransitionRow(Row):
    """One step of a merge's life: append-only."""

    __tablename__ = "merge_transitions"
    transition_id: Mapped[int] = mapped_column(_COUNTER, primary_key=True, autoincrement=True)
    merge_key: Mapped[str] = mapped_column(ForeignKey("merges.merge_key"), index=True)
    event: Mapped[str] = mapped_column(ShortText(32))
    from_state: Mapped[str] = mapped_column(ShortText(16))
    to_state: Mapped[str] = mapped_column(ShortText(16))
    reason: Mapped[str] = mapped_column(PlainText)
    figures: Mapped[dict[str, float]] = mapped_column(Figures)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class VersionRow(Row):
    """A published version of the transplant net.

    Its routes are those that came with it or before it, less those that left and have not come back
    (`RouteChangeRow`), in the order of their position.
    """

    __tablename__ = "versions"
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(_DIGEST, unique=True)
    parent_digest: Mapped[str | None] = mapped_column(_DIGEST)
    published_at: Mapped[datetime] = mapped_column(UtcDateTime)
    __table_args__ = (CheckConstraint("number >= 1", name="ck_versions_number"),)


class RouteRow(Row):
    """A route and the version it came with first. Its key makes a second publication impossible."""

    __tablename__ = "routes"
    merge_key: Mapped[str] = mapped_column(ForeignKey("merges.merge_key"), primary_key=True)
    version_number: Mapped[int] = mapped_column(ForeignKey("versions.number"), index=True)
    position: Mapped[int] = mapped_column(BigInteger, unique=True)
    category: Mapped[str] = mapped_column(_NAME, index=True)
    task: Mapped[str] = mapped_column(ShortText(32))
    category_module: Mapped[str] = mapped_column(ForeignKey("modules.module_id"))
    adapter: Mapped[str | None] = mapped_column(ForeignKey("modules.module_id"))
    task_module: Mapped[str] = mapped_column(ForeignKey("modules.module_id"))
    supervised_by: Mapped[str | None] = mapped_column(_NAME)


class RouteChangeRow(Row):
    """From this version on a route is no longer part of the net (retired, replaced), or is so again.

    Append-only; a route without a change is part of every version from its own on.
    """

    __tablename__ = "route_changes"
    version_number: Mapped[int] = mapped_column(ForeignKey("versions.number"), primary_key=True)
    merge_key: Mapped[str] = mapped_column(ForeignKey("routes.merge_key"), primary_key=True)
    present: Mapped[bool]


class CategoryHolderRow(Row):
    """Whose a contested category is, where the operator decided; `decisions` counts how often."""

    __tablename__ = "category_holders"
    category: Mapped[str] = mapped_column(_NAME, primary_key=True)
    site: Mapped[str] = mapped_column(_NAME)
    decisions: Mapped[int]
    decided_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ProbeDigestRow(Row):
    """sha256 of a route's logits on the probe batch, as they were when it was published."""

    __tablename__ = "probe_digests"
    merge_key: Mapped[str] = mapped_column(ForeignKey("routes.merge_key"), primary_key=True)
    numerics: Mapped[str] = mapped_column(ShortText(255), primary_key=True)
    logits_sha256: Mapped[str] = mapped_column(_DIGEST)


class ForgettingCheckRow(Row):
    """What one publication compared: append-only, for whoever wants to see the proof."""

    __tablename__ = "forgetting_checks"
    check_id: Mapped[int] = mapped_column(_COUNTER, primary_key=True, autoincrement=True)
    version_number: Mapped[int] = mapped_column(ForeignKey("versions.number"), index=True)
    subject: Mapped[str] = mapped_column(ShortText(255))
    before_sha256: Mapped[str] = mapped_column(_DIGEST)
    after_sha256: Mapped[str] = mapped_column(_DIGEST)


class VerdictRow(Row):
    """What the owning site measured for a candidate.

    `signature` is by the key of `certificate` (PEM), over what `transplant.rpc.verdict_signature` says; both
    are missing where the operator lets sites of earlier releases answer unsigned.
    """

    __tablename__ = "verdicts"
    merge_key: Mapped[str] = mapped_column(ForeignKey("merges.merge_key"), primary_key=True)
    site: Mapped[str] = mapped_column(_NAME)
    closed: Mapped[float] = mapped_column(Float)
    figures: Mapped[dict[str, float]] = mapped_column(Figures)
    reported_at: Mapped[datetime] = mapped_column(UtcDateTime)
    signature: Mapped[bytes | None] = mapped_column(LargeBinary)
    certificate: Mapped[bytes | None] = mapped_column(LargeBinary)


class EventRow(Row):
    """Something that watchers are told; written in the transaction of what it tells about."""

    __tablename__ = "events"
    event_id: Mapped[int] = mapped_column(_COUNTER, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(ShortText(32))
    subject: Mapped[str] = mapped_column(ShortText(64))
    category: Mapped[str] = mapped_column(ShortText(63))
    detail: Mapped[str] = mapped_column(PlainText)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    __table_args__ = ({"sqlite_autoincrement": True},)


class AuditRow(Row):
    """An entry of the audit log; triggers of its migration refuse every change of a row.

    Text only, exactly as it was digested: no type in between may lose a byte of it.
    """

    __tablename__ = "audit_log"
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(ShortText(32))
    actor: Mapped[str] = mapped_column(ShortText(80))
    action: Mapped[str] = mapped_column(ShortText(32))
    subject: Mapped[str] = mapped_column(ShortText(255))
    detail: Mapped[str] = mapped_column(PlainText)
    previous_digest: Mapped[str] = mapped_column(_DIGEST, unique=True)
    digest: Mapped[str] = mapped_column(_DIGEST, unique=True)
