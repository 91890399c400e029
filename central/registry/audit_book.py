"""The audit log: who did what to the registry, in the transaction that did it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError

from central.registry.audit_chain import AuditEntry, ChainHead, sealed_entry, walk_chain
from central.registry.column_types import storable
from central.registry.driver_errors import reason_of, translated
from central.registry.tables import AuditRow, table_of
from transplant.artifact.digest import canonical_json
from transplant.errors import AuditChainBroken

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from sqlalchemy.orm import Session

    from central.registry.audit_chain import KnownHead
    from transplant.ports.clock import Clock
    from transplant.types import Identity

CENTRAL = "central"  # the center itself: its merge loop, its reaper
CONSOLE = "console"  # the command line, on the center's machine
_LONGEST_ACTOR, _LONGEST_SUBJECT, _LONGEST_ACTION = 80, 255, 32
LONGEST_LIST = 40  # within a detail, as below: a site's words must not fill the log
_LONGEST_TEXT = 300
_BATCH = 1000
_LOG = table_of(AuditRow)
_COLUMNS = tuple(
    _LOG.c[name]
    for name in ("position", "at", "actor", "action", "subject", "detail", "previous_digest", "digest")
)
_ADD = insert(_LOG)
_HEAD = select(_LOG.c.position, _LOG.c.digest).order_by(_LOG.c.position.desc()).limit(1)


class Action(StrEnum):
    """What an entry tells about, in the past tense. A name once written keeps its meaning for ever."""

    CERTIFICATE_ISSUED = "CertificateIssued"
    CERTIFICATE_RENEWED = "CertificateRenewed"
    CERTIFICATES_REVOKED = "CertificatesRevoked"
    SITE_ADMITTED = "SiteAdmitted"
    SITE_WITHDRAWN = "SiteWithdrawn"
    MODULE_DECLARED = "ModuleDeclared"
    MODULE_COMMITTED = "ModuleCommitted"
    MODULE_REGISTERED = "ModuleRegistered"
    MODULE_REJECTED = "ModuleRejected"
    MODULE_RECALLED = "ModuleRecalled"
    UPLOAD_REAPED = "UploadReaped"
    TEACHER_COMPLETED = "TeacherCompleted"
    MERGE_PLANNED = "MergePlanned"
    MERGE_MOVED = "MergeMoved"
    MERGE_CANCELLED = "MergeCancelled"
    PROBE_ASKED = "ProbeAsked"
    VERDICT_REPORTED = "VerdictReported"
    VERSION_PUBLISHED = "VersionPublished"
    ROUTES_RETIRED = "RoutesRetired"
    VERSION_ROLLED_BACK = "VersionRolledBack"
    NET_FOUNDED = "NetFounded"
    CATEGORY_CONTESTED = "CategoryContested"
    CATEGORY_DECIDED = "CategoryDecided"
    SERVE_STARTED = "ServeStarted"
    SERVE_STOPPED = "ServeStopped"
    REGISTRY_MIGRATED = "RegistryMigrated"
    BACKUP_TAKEN = "BackupTaken"
    BACKUP_RESTORED = "BackupRestored"


def actor_of(caller: Identity) -> str:
    """Return how the log calls a caller: role and name, as its certificate says."""
    return f"{caller.role.value} {caller.name}"


class AuditBook:
    """The audit log, within one transaction. There is nothing here that changes or removes an entry."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._head: ChainHead | None = None

    def append(self, actor: str, action: Action, subject: str, **detail: object) -> None:
        """Append an entry; it is committed together with what it tells about, or not at all.

        Args:
            actor: `actor_of(caller)`, `CENTRAL` or `CONSOLE`.
            action: what was done.
            subject: id or name of what it was done to.
            detail: the little that a reader needs besides: texts, numbers, lists and mappings of them. Long
                ones are cut short, and what JSON cannot say is written as text.
        """
        entry = sealed_entry(
            self._head or self.head(),  # whoever writes is alone until the transaction ends
            self._clock.now().astimezone(UTC).isoformat(timespec="microseconds"),
            storable(actor)[:_LONGEST_ACTOR],
            action.value[:_LONGEST_ACTION],
            storable(subject)[:_LONGEST_SUBJECT],
            canonical_json(as_logged(detail)).decode(),
        )
        self._session.execute(_ADD, vars(entry))
        self._head = ChainHead(entry.position, entry.digest)

    def head(self) -> ChainHead:
        """Return the newest entry's position and digest."""
        row = self._session.execute(_HEAD).one_or_none()
        return ChainHead() if row is None else ChainHead(row.position, row.digest)

    def entries(self) -> Generator[AuditEntry]:
        """Yield every entry, oldest first; memory stays flat however many there are.

        Raises:
            AuditChainBroken: if the database holds something that cannot be read as an entry at all.
        """
        query = select(*_COLUMNS).order_by(_LOG.c.position).execution_options(yield_per=_BATCH)
        try:
            with self._session.execute(query) as rows:
                for row in rows:
                    yield AuditEntry(*row)
        except DBAPIError as error:
            if translated(error) is not None:
                raise
            raise AuditChainBroken(f"the log cannot be read: {reason_of(error)}") from error

    def last(self, count: int) -> tuple[AuditEntry, ...]:
        """Return the newest entries, oldest first."""
        query = select(*_COLUMNS).order_by(_LOG.c.position.desc()).limit(count)
        return tuple(AuditEntry(*row) for row in self._session.execute(query))[::-1]

    def holds(self, head: KnownHead) -> bool:
        """Tell whether a head that was noted outside is an entry of the log. Looks at that entry only."""
        if head.position == 0:
            return True
        query = select(_LOG.c.position).where(_LOG.c.digest == head.digest)
        found = self._session.scalar(query)
        return found is not None and head.position in {None, found}

    def verify(self, known: Iterable[KnownHead] = ()) -> ChainHead:
        """Walk the whole chain and return its head.

        Args:
            known: heads that the log must contain.

        Raises:
            AuditChainBroken: names the first entry that is wrong, and what is wrong with it.
        """
        with closing(self.entries()) as entries:  # a walk that ends early leaves no cursor open
            return walk_chain(entries, known)


def as_logged(value: object) -> object:
    """Return what a detail holds of a value: what canonical JSON can say, cut to what a log can bear."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        items = sorted((str(name), each) for name, each in value.items())
        return {storable(name)[:_LONGEST_TEXT]: as_logged(each) for name, each in items[:LONGEST_LIST]}
    if isinstance(value, list | tuple | set | frozenset):
        several = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [as_logged(each) for each in several[:LONGEST_LIST]]
    text = storable(str(value))
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "\N{HORIZONTAL ELLIPSIS}"
