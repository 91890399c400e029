"""The registry as everybody else sees it: transactions with one book a subject."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from central.registry.admissions_book import AdmissionsBook
from central.registry.audit_book import CONSOLE, Action, AuditBook
from central.registry.claims_book import ClaimsBook
from central.registry.database import WAIT_S, open_engine, reading, writing
from central.registry.driver_errors import reason_of, registry_errors, translated
from central.registry.events_book import EventsBook
from central.registry.merges_book import MergesBook
from central.registry.modules_book import ModulesBook
from central.registry.probes_book import ProbesBook
from central.registry.schema import check_schema, create_schema, is_migrated, migrate_schema, upgrade_schema
from central.registry.serving_lock import serving_lock
from central.registry.sites_book import SitesBook
from central.registry.teachers_book import TeachersBook
from central.registry.uploads_book import UploadsBook
from central.registry.versions_book import VersionsBook
from transplant.backends.system_clock import SystemClock
from transplant.errors import InvalidSettings, RegistryUnavailable, TransplantError

if TYPE_CHECKING:
    from collections.abc import Generator

    from sqlalchemy import Connection

    from central.registry.serving_lock import ServingLock
    from transplant.ports.clock import Clock


@dataclass(frozen=True)
class Books:
    """One transaction's view of the registry."""

    session: Session
    clock: Clock

    @cached_property
    def sites(self) -> SitesBook:
        """Sites, their categories and certificates."""
        return SitesBook(self.session)

    @cached_property
    def modules(self) -> ModulesBook:
        """Registered modules and their blobs."""
        return ModulesBook(self.session)

    @cached_property
    def uploads(self) -> UploadsBook:
        """Declared modules that are not decided about."""
        return UploadsBook(self.session)

    @cached_property
    def admissions(self) -> AdmissionsBook:
        """What was decided about modules, and why."""
        return AdmissionsBook(self.session)

    @cached_property
    def teachers(self) -> TeachersBook:
        """Complete teachers."""
        return TeachersBook(self.session)

    @cached_property
    def probes(self) -> ProbesBook:
        """What sites are asked that keep their task modules at home."""
        return ProbesBook(self.session)

    @cached_property
    def merges(self) -> MergesBook:
        """Merges, their transitions and verdicts."""
        return MergesBook(self.session)

    @cached_property
    def versions(self) -> VersionsBook:
        """Published versions, routes and the proofs that nothing was forgotten."""
        return VersionsBook(self.session)

    @cached_property
    def claims(self) -> ClaimsBook:
        """Whose a contested category is."""
        return ClaimsBook(self.session)

    @cached_property
    def events(self) -> EventsBook:
        """What watchers are told."""
        return EventsBook(self.session)

    @cached_property
    def audit(self) -> AuditBook:
        """Who did what, in a chain that shows every later change."""
        return AuditBook(self.session, self.clock)


class Registry:
    """The registry behind one database URL.

    Writers exclude each other (SQLite by its write lock, PostgreSQL by an advisory lock that each
    writing transaction takes first), so what a transaction reads stays true until it commits.

    Args:
        url: SQLAlchemy's, of SQLite or PostgreSQL.
        wait_s: how long a writer waits for the one before it.
        clock: what the audit log's entries are dated by; default: the machine's.
    """

    def __init__(self, url: str, *, wait_s: float = WAIT_S, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._engine = open_engine(url, wait_s)
        self._reading_engine = reading(self._engine)
        self._writing_engine = writing(self._engine)

    def create(self) -> None:
        """Make the tables where there are none, and check those that are there.

        Raises:
            InvalidSettings: if the database cannot be reached or opened, holds something else, or is
                another release's.
            RegistryDamaged: if it is damaged.
            RegistryUnavailable: if others kept it busy for too long.
        """
        with self._opening():
            create_schema(self._engine)

    def check(self) -> None:
        """Check that the tables are this release's.

        Raises:
            InvalidSettings: if they are not, or the database cannot be reached or opened.
            RegistryDamaged: if it is damaged.
        """
        with self._opening():
            check_schema(self._engine)

    def take_over(self, lock: ServingLock) -> None:
        """Take the right to serve, and then bring the tables to this release.

        In this order: a center that serves them now, of whatever release, needs the tables as they are.

        Args:
            lock: this registry's.

        Raises:
            AlreadyServing: if another center serves; nothing was changed then.
            InvalidSettings: see `create`; tables of an earlier release are no reason.
            RegistryDamaged, RegistryUnavailable: see `create`.
        """
        with self._opening():
            is_migrated(self._engine)  # a URL that leads nowhere is said before a lock is looked for
            lock.take()
            try:
                upgrade_schema(self._engine)
            except BaseException:
                lock.release()
                raise

    def migrate(self, lock: ServingLock, revision: str) -> str:
        """Bring the tables to the schema of another release, and write so into the audit log.

        Args:
            lock: this registry's; nobody may serve it meanwhile.
            revision: the schema.

        Returns:
            The schema before.

        Raises:
            AlreadyServing: if a center serves; nothing was changed then.
            InvalidSettings, RegistryDamaged: see `migrate_schema`; nothing was changed then.
        """

        def tell(connection: Connection, before: str) -> None:
            with Session(connection) as session:
                audit = AuditBook(session, self._clock)
                audit.append(CONSOLE, Action.REGISTRY_MIGRATED, revision, before=before)
                session.commit()  # what it is a part of is committed by the migration

        with self._opening():
            is_migrated(self._engine)
            lock.take()
            try:
                return migrate_schema(self._engine, revision, tell)
            finally:
                lock.release()

    def exists(self) -> bool:
        """Tell whether a registry of any release is there; looking makes none.

        Raises:
            InvalidSettings: if the database cannot be reached or opened.
            RegistryDamaged: if it is damaged.
        """
        with self._opening():
            return is_migrated(self._engine)

    @property
    def where(self) -> str:
        """Return the URL as it may be shown."""
        url = self._engine.url.difference_update_query(["password"])
        return url.render_as_string(hide_password=True)

    def serving_lock(self) -> ServingLock:
        """Return the lock that a center holds while it serves this registry."""
        return serving_lock(self._engine)

    @contextmanager
    def _opening(self) -> Generator[None]:
        try:
            yield
        except TransplantError:
            self.close()  # who is refused has nothing to close
            raise
        except DBAPIError as error:
            self.close()
            known = translated(error)
            never_connected = isinstance(known, RegistryUnavailable) and error.statement is None
            if known is not None and not never_connected:
                raise known from error
            raise InvalidSettings(f"cannot open the registry {self.where}: {reason_of(error)}") from error

    @contextmanager
    def read(self) -> Generator[Books]:
        """Open a transaction that sees one consistent state and changes nothing.

        Raises:
            RegistryUnavailable: if the database does not answer.
        """
        with registry_errors(), Session(self._reading_engine) as session:
            yield Books(session, self._clock)

    @contextmanager
    def write(self) -> Generator[Books]:
        """Open a transaction that is committed as a whole, or not at all when an exception leaves it.

        Raises:
            RegistryConflict: if a uniqueness or reference rule of the schema would be broken.
            RegistryUnavailable: if the database does not answer, or other writers take too long.
            StorageFull: if the disk under it is full.
        """
        with registry_errors(), Session(self._writing_engine) as session, session.begin():
            yield Books(session, self._clock)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()
