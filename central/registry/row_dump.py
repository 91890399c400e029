"""Every row of a registry as lines of JSON, and back: on either database, whatever release wrote them.

Tables are read as the database itself describes them, so nothing that a release knows is left out, and
are put back at the schema that they had; migrations then bring them up to date as they would have.
"""

from __future__ import annotations

import base64
import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import JSON, Integer, MetaData, func, insert, inspect, select

from central.registry.database import open_engine, writing
from central.registry.driver_errors import registry_errors
from central.registry.schema import upgrade_connection
from transplant.artifact.digest import canonical_json
from transplant.errors import BackupInvalid, InvalidSettings, RegistryDamaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import Connection, Table

    from central.registry.registry import Books

_BATCH = 500
_NOT_DATA = "alembic_version"


def dumped_tables(books: Books) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield every table with its rows as lines; referenced tables come before those that refer to them.

    All of it is one state of the registry: that of the caller's transaction. Memory stays flat.

    Raises:
        RegistryDamaged: while reading the lines, if a value is not of its column's type.
    """
    connection = books.session.connection()
    for table in _tables(connection):
        yield table.name, _lines(connection, table)


def restore_rows(url: str, revision: str, tables: Mapping[str, Iterable[bytes]]) -> None:
    """Fill an empty database with dumped rows, in one transaction, and bring it to this release's schema.

    Args:
        url: of the database; an SQLite file is made.
        revision: the schema that the rows were dumped at.
        tables: the lines of each table.

    Raises:
        InvalidSettings: if the database is not empty.
        BackupInvalid: if the rows are not of that schema, or it is a newer release's.
    """
    engine = open_engine(url)
    try:
        with registry_errors(), writing(engine).begin() as connection:
            if inspect(connection).get_table_names():
                raise InvalidSettings(
                    "the registry's database is not empty: restore into a new home or an empty database"
                )
            try:
                upgrade_connection(connection, revision)
                _fill(connection, tables)
                upgrade_connection(connection)
            except RegistryDamaged as error:
                raise BackupInvalid(str(error)) from error
            if MigrationContext.configure(connection).get_current_revision() is None:
                raise BackupInvalid(f"the backup's schema {revision!r} is none")
    finally:
        engine.dispose()


def _tables(connection: Connection) -> list[Table]:
    metadata = MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name != _NOT_DATA]


def _lines(connection: Connection, table: Table) -> Iterator[bytes]:
    json_columns = {column.name for column in table.columns if isinstance(column.type, JSON)}
    query = select(table).order_by(*table.primary_key).execution_options(yield_per=_BATCH)
    try:
        for row in connection.execute(query).mappings():
            fields = {
                str(name): {"json": value} if name in json_columns else _written(value)
                for name, value in row.items()
            }
            yield canonical_json(fields) + b"\n"
    except (ValueError, TypeError) as error:
        raise RegistryDamaged(
            f"the table {table.name} cannot be read ({error}): `transplant-central fsck` says more"
        ) from error


def _written(value: Any) -> object:
    """Return what JSON can say of a column's value; what it cannot is wrapped with the name of its type."""
    match value:
        case bytes():
            return {"bytes": base64.b64encode(value).decode()}
        case datetime():
            moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
            return {"time": moment.isoformat()}
        case float() if not math.isfinite(value):
            return {"float": str(value)}
        case _:
            return value


def _read(value: Any) -> object:
    match value:
        case {"bytes": str(text)}:
            return base64.b64decode(text, validate=True)
        case {"time": str(text)}:
            return datetime.fromisoformat(text)
        case {"float": str(text)}:
            return float(text)
        case {"json": inner}:
            return inner
        case dict() | list():
            raise ValueError("a value of no known type")
        case _:
            return value


def _fill(connection: Connection, tables: Mapping[str, Iterable[bytes]]) -> None:
    known = _tables(connection)
    strange = sorted(set(tables) ^ {table.name for table in known})
    if strange:
        raise BackupInvalid(f"its tables are not those of its schema: {', '.join(strange)}")
    for table in known:
        batch: list[dict[str, object]] = []
        for line in tables[table.name]:
            batch.append(_row(table, line))
            if len(batch) == _BATCH:
                connection.execute(insert(table), batch)
                batch = []
        if batch:
            connection.execute(insert(table), batch)
        _move_counter(connection, table)


def _row(table: Table, line: bytes) -> dict[str, object]:
    try:
        row = {str(name): _read(value) for name, value in json.loads(line).items()}
    except (ValueError, AttributeError) as error:
        raise BackupInvalid(f"a row of the table {table.name} cannot be read: {error}") from error
    if set(row) != set(table.columns.keys()):
        raise BackupInvalid(f"a row of the table {table.name} has other columns")
    return row


def _move_counter(connection: Connection, table: Table) -> None:
    """Let PostgreSQL count on behind the restored rows; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for column in table.primary_key:
        counter = connection.scalar(select(func.pg_get_serial_sequence(table.name, column.name)))
        if counter is not None and isinstance(column.type, Integer):
            last = connection.scalar(select(func.max(column)))
            if last is not None:
                connection.execute(select(func.setval(counter, last)))
