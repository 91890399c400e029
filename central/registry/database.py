"""The engine: one URL, SQLite in WAL mode or PostgreSQL, and how a transaction begins on each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path

WAIT_S = 15.0
_WRITES = "transplant_writes"
_DRIVERS = {("sqlite", "pysqlite"), ("postgresql", "psycopg")}
_ONE_WRITER = 0x7472616E  # key of PostgreSQL's advisory lock: "tran"
# A machine that vanishes says no goodbye, and TCP takes two hours to notice. Until then a center would
# wait for its database, and the database would keep a dead center's lock from its successor.
_KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_CONNECT_S = 10


def sqlite_url(path: Path) -> str:
    """Return the URL of an embedded registry."""
    return f"sqlite+pysqlite:///{path}"


def without_password(url: str) -> str:
    """Return a registry URL that may be shown: its password is stars, wherever it stands in it."""
    parsed = make_url(url)
    secret = {name: "***" for name in parsed.query if "password" in name.lower()}
    return parsed.update_query_dict(secret).render_as_string(hide_password=True)


def open_engine(url: str, wait_s: float = WAIT_S) -> Engine:
    """Return an engine for `url`.

    Args:
        url: SQLAlchemy's, of SQLite or PostgreSQL.
        wait_s: how long a writer waits for the one before it (and anybody for a free connection).

    Raises:
        InvalidSettings: if no driver for this kind of database is installed.
    """
    options: dict[str, Any] = {}
    if not url.startswith("sqlite"):
        options = {"pool_pre_ping": True, "pool_timeout": wait_s}
    try:
        engine = create_engine(url, **options)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise InvalidSettings(f"the registry's database URL cannot be used: {error}") from error
    if (engine.dialect.name, engine.dialect.driver) not in _DRIVERS or engine.dialect.is_async:
        raise InvalidSettings(
            f"the registry's database URL cannot be used: {engine.url.drivername} is neither "
            "sqlite nor postgresql+psycopg"
        )
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine, wait_s)
    else:
        _prepare_postgresql(engine, wait_s)
    return engine


def reading(engine: Engine) -> Engine:
    """Return the same engine for transactions that see one state and change nothing."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def writing(engine: Engine) -> Engine:
    """Return the same engine for transactions that write: one at a time, the others queue up.

    SQLite takes its write lock at the start instead of half-way. PostgreSQL takes an advisory lock, and
    each statement after it sees what earlier writers committed, whatever the server's default is.
    """
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{_WRITES: True})
    return engine.execution_options(**{_WRITES: True}, isolation_level="READ COMMITTED")


def _prepare_sqlite(engine: Engine, wait_s: float) -> None:
    def connected(connection: Any, record: object) -> None:
        del record
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        wait = f"busy_timeout={round(1000 * wait_s)}"
        for pragma in (wait, "journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begun(connection: Connection) -> None:
        writes = _is_writing(connection)
        connection.exec_driver_sql(f"PRAGMA query_only={'OFF' if writes else 'ON'}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)


def _prepare_postgresql(engine: Engine, wait_s: float) -> None:
    def connecting(dialect: object, record: object, arguments: list[Any], options: dict[str, Any]) -> None:
        del dialect, record, arguments
        for name, value in {"connect_timeout": _CONNECT_S, **_KEEPALIVES}.items():
            options.setdefault(name, value)  # what the URL says goes before

    def connected(connection: Any, record: object) -> None:
        del record
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise InvalidSettings(
                f"the registry's database has the encoding {encoding}: make one with ENCODING 'UTF8'"
            )
        settings = {"lock_timeout": round(1000 * wait_s), "timezone": "'UTC'"}
        settings |= {f"tcp_{name}": value for name, value in _KEEPALIVES.items()}
        connection.execute("; ".join(f"SET {name} = {value}" for name, value in settings.items()))
        connection.commit()

    def begun(connection: Connection) -> None:
        if _is_writing(connection):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ONE_WRITER})")

    event.listen(engine, "do_connect", connecting)
    event.listen(engine, "connect", connected, insert=True)  # before SQLAlchemy reads its first answer
    event.listen(engine, "begin", begun)


def _is_writing(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get(_WRITES, False))
