"""The engine: one URL, SQLite in WAL mode or PostgreSQL, and one translation of its errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from transplant.errors import InvalidSettings, RegistryConflict, RegistryDamaged, StorageFull

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_WRITES = "transplant_writes"


def sqlite_url(path: Path) -> str:
    """Return the URL of an embedded registry."""
    return f"sqlite+pysqlite:///{path}"


def open_engine(url: str) -> Engine:
    """Return an engine for `url`.

    Raises:
        InvalidSettings: if no driver for this kind of database is installed.
    """
    try:
        engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise InvalidSettings(f"the registry's database URL cannot be used: {error}") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def writing(engine: Engine) -> Engine:
    """Return the same engine for transactions that write.

    SQLite then takes the write lock at the start: two writers queue up instead of failing half-way.
    """
    return engine.execution_options(**{_WRITES: True})


@contextmanager
def registry_errors() -> Generator[None]:
    """Translate what a driver raises.

    Raises:
        StorageFull: if the disk under the database is full.
        RegistryConflict: if a uniqueness or reference rule of the schema would be broken.
        RegistryDamaged: if the database file is not one or is broken.
    """
    try:
        yield
    except DBAPIError as error:
        reason = str(error.orig)
        name = str(getattr(error.orig, "sqlite_errorname", ""))
        state = str(getattr(error.orig, "sqlstate", ""))
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC")) or state == "53100":
            raise StorageFull(f"the disk under the registry is full ({reason})") from error
        if name.startswith("SQLITE_CONSTRAINT") or state.startswith("23"):
            raise RegistryConflict(f"the registry refused a contradiction: {reason}") from error
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise RegistryDamaged(f"the registry's file is damaged: {reason}") from error
        raise


def _prepare_sqlite(connection: object, record: object) -> None:
    del record
    connection.isolation_level = None  # pyright: ignore[reportAttributeAccessIssue]  # we say BEGIN ourselves
    cursor = connection.cursor()  # pyright: ignore[reportAttributeAccessIssue]
    for pragma in ("busy_timeout=15000", "journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
