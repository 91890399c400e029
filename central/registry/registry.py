"""The registry as everybody else sees it: transactions with one book a subject."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from central.registry.database import open_engine, registry_errors, writing
from central.registry.events_book import EventsBook
from central.registry.merges_book import MergesBook
from central.registry.modules_book import ModulesBook
from central.registry.probes_book import ProbesBook
from central.registry.schema import upgrade_schema
from central.registry.sites_book import SitesBook
from central.registry.teachers_book import TeachersBook
from central.registry.uploads_book import UploadsBook
from central.registry.versions_book import VersionsBook
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Generator

_ONE_WRITER = 0x7472616E  # key of PostgreSQL's advisory lock: "tran"


@dataclass(frozen=True)
class Books:
    """One transaction's view of the registry."""

    session: Session

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
        """Declared modules whose bytes are on their way."""
        return UploadsBook(self.session)

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
    def events(self) -> EventsBook:
        """What watchers are told."""
        return EventsBook(self.session)


class Registry:
    """The registry behind one database URL.

    Writers exclude each other (SQLite by its write lock, PostgreSQL by an advisory lock that each
    writing transaction takes first), so what a transaction reads stays true until it commits.
    """

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)
        self._writing_engine = writing(self._engine)

    def upgrade(self) -> None:
        """Bring the schema to this release.

        Raises:
            InvalidSettings: if the database cannot be reached or opened.
            RegistryDamaged: if it is none of ours.
        """
        try:
            with registry_errors():
                upgrade_schema(self._writing_engine)
        except OperationalError as error:
            where = self._engine.url.render_as_string(hide_password=True)
            raise InvalidSettings(f"cannot open the registry {where}: {error.orig}") from error

    @contextmanager
    def read(self) -> Generator[Books]:
        """Open a transaction that sees one consistent state and changes nothing."""
        with registry_errors(), Session(self._engine) as session:
            yield Books(session)

    @contextmanager
    def write(self) -> Generator[Books]:
        """Open a transaction that is committed as a whole, or not at all when an exception leaves it."""
        with registry_errors(), Session(self._writing_engine) as session, session.begin():
            if self._engine.dialect.name == "postgresql":
                session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_WRITER})
            yield Books(session)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()
