"""The registry's engine: URLs, SQLite's own settings, and what drivers' errors mean to a caller."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from central.registry.database import open_engine, sqlite_url
from central.registry.driver_errors import registry_errors
from central.registry.registry import Registry
from transplant.errors import (
    InvalidSettings,
    RegistryConflict,
    RegistryDamaged,
    RegistryUnavailable,
    StorageFull,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "registry.sqlite"


def test_sqlite_is_opened_as_it_must_be(path):
    engine = open_engine(sqlite_url(path), wait_s=1.5)
    with engine.connect() as connection:
        names = ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        found = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in names]
    engine.dispose()
    assert found == ["wal", 1, 2, 1500]


def test_a_file_that_is_no_database_is_said(path):
    path.write_bytes(b"these are not the bytes of a database" * 100)
    with pytest.raises(RegistryDamaged):
        Registry(sqlite_url(path)).create()


@pytest.mark.parametrize(
    "url",
    [
        "no url",
        "nosuchdatabase://host/name",
        "mysql://host/name",
        "postgresql+asyncpg://host/name",
        "postgresql+psycopg_async://host/name",
        "sqlite+aiosqlite:///name",
    ],
)
def test_a_url_that_cannot_be_used_is_said(url):
    with pytest.raises(InvalidSettings, match="URL"):
        Registry(url)


def test_a_database_that_cannot_be_opened_is_said(tmp_path):
    with pytest.raises(InvalidSettings, match="cannot open the registry"):
        Registry(sqlite_url(tmp_path / "no" / "such" / "folder.sqlite")).create()


class SqliteError(Exception):
    """An error with SQLite's name for it."""

    def __init__(self, name: str) -> None:
        super().__init__("what the driver says\non two lines")
        self.sqlite_errorname = name


class PostgresqlError(Exception):
    """An error with PostgreSQL's code for it; None: the connection could not be made or broke."""

    def __init__(self, code: str | None) -> None:
        super().__init__("what the driver says\non two lines")
        self.sqlstate = code


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SqliteError("SQLITE_FULL"), StorageFull),
        (SqliteError("SQLITE_IOERR_FSYNC"), StorageFull),
        (PostgresqlError("53100"), StorageFull),
        (SqliteError("SQLITE_CONSTRAINT_UNIQUE"), RegistryConflict),
        (PostgresqlError("23505"), RegistryConflict),
        (SqliteError("SQLITE_CORRUPT"), RegistryDamaged),
        (PostgresqlError("XX001"), RegistryDamaged),
        (SqliteError("SQLITE_BUSY_SNAPSHOT"), RegistryUnavailable),
        (PostgresqlError("55P03"), RegistryUnavailable),  # lock_not_available
        (PostgresqlError("40P01"), RegistryUnavailable),  # deadlock_detected
        (PostgresqlError("53300"), RegistryUnavailable),  # too_many_connections
        (PostgresqlError("57P01"), RegistryUnavailable),  # admin_shutdown
        (PostgresqlError("08006"), RegistryUnavailable),  # connection_failure
        (SqliteError("SQLITE_ERROR"), OperationalError),
        (PostgresqlError("42601"), OperationalError),  # syntax_error: a bug of ours
        (PostgresqlError(None), OperationalError),
    ],
)
def test_what_a_driver_says_becomes_what_it_means(error, kind):
    with pytest.raises(kind, match="what the driver says"), registry_errors():
        raise OperationalError("SELECT 1", {}, error)


@pytest.mark.parametrize(("statement", "broken"), [(None, False), ("SELECT 1", True)])
def test_a_connection_that_fails_or_breaks_is_worth_a_retry(statement, broken):
    error = OperationalError(statement, {}, PostgresqlError(None), connection_invalidated=broken)
    with pytest.raises(RegistryUnavailable, match="says on two lines") as caught, registry_errors():
        raise error
    assert caught.value.retry
