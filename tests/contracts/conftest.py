"""The databases that a registry may stand on; a test that takes one runs on each of them."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from fakes.s3 import s3_server
from sqlalchemy.engine import make_url

from central.registry.database import open_engine, sqlite_url
from central.registry.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from fakes.postgresql import PostgresServer
    from fakes.s3 import S3Server
    from sqlalchemy import Engine

    Maker = Callable[[bool], AbstractContextManager[str]]

BACKENDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server of this test session."""
    with s3_server() as server:
        yield server


@dataclass
class Database:
    """A database of one test; it closes what the test opened."""

    url: str
    _opened: list[Registry] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return the database's name at its server (of a file: its path)."""
        return str(make_url(self.url).database)

    def open(self, wait_s: float = 15.0) -> Registry:
        """Open the registry as one more process would."""
        self._opened.append(Registry(self.url, wait_s=wait_s))
        return self._opened[-1]

    def close(self) -> None:
        for registry in self._opened:
            registry.close()


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Return what makes an SQLite database: empty, or a copy of one that was migrated once."""
    folder = tmp_path_factory.mktemp("sqlite")
    template = folder / "template.sqlite"
    _migrate(sqlite_url(template))

    @contextmanager
    def make(migrated: bool) -> Iterator[str]:
        path: Path = tmp_path_factory.mktemp("registry") / "registry.sqlite"
        if migrated:
            shutil.copy(template, path)
        yield sqlite_url(path)

    return make


@pytest.fixture(scope="session")
def postgresql_databases(postgres: PostgresServer) -> Maker:
    """Return what makes a PostgreSQL database: empty, or a copy of one that was migrated once."""
    template = postgres.create_database()
    _migrate(postgres.url(template))

    @contextmanager
    def make(migrated: bool) -> Iterator[str]:
        name = postgres.create_database(f"TEMPLATE {template}" if migrated else "")
        yield postgres.url(name)
        postgres.drop_database(name)

    return make


@pytest.fixture(params=BACKENDS)
def databases(request: pytest.FixtureRequest) -> Maker:
    """Return what makes databases of one kind."""
    return request.getfixturevalue(f"{request.param}_databases")


@pytest.fixture
def database(databases: Maker) -> Iterator[Database]:
    """A database at this release's schema."""
    yield from _one(databases, migrated=True)


@pytest.fixture
def empty_database(databases: Maker) -> Iterator[Database]:
    """A database without a table."""
    yield from _one(databases, migrated=False)


@pytest.fixture
def postgresql_database(postgresql_databases: Maker) -> Iterator[Database]:
    """A PostgreSQL database at this release's schema."""
    yield from _one(postgresql_databases, migrated=True)


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """The same database past the registry: what stands in it, and what somebody else might do to it."""
    opened = open_engine(database.url)
    yield opened
    opened.dispose()


@pytest.fixture
def registry(database: Database) -> Registry:
    """The registry that one center has open."""
    return database.open()


def _one(databases: Maker, *, migrated: bool) -> Iterator[Database]:
    with databases(migrated) as url:
        made = Database(url)
        yield made
        made.close()


def _migrate(url: str) -> None:
    registry = Registry(url)
    registry.create()
    registry.close()
