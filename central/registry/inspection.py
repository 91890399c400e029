"""Rows as they are, for whoever checks or copies a registry: nothing is interpreted, nothing is trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, select, text
from sqlalchemy.exc import DatabaseError

from central.registry.schema import check_revision, revision_of
from central.registry.tables import Row
from transplant.errors import RegistryDamaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Column

    from central.registry.registry import Books

_BATCH = 1000
_MOST_FAULTS = 20


@dataclass(frozen=True)
class DanglingReference:
    """A row whose column names a row that is not there. `key` is the row's own primary key."""

    table: str
    column: str
    key: str
    value: str
    target: str


def rows_of(books: Books, table: str, *columns: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table in the order of their primary key, a batch at a time.

    Args:
        books: a transaction.
        table: its name.
        columns: which of its columns; none: all.

    Raises:
        RegistryDamaged: if a value is not of its column's type: SQLite keeps what it is given.
    """
    known = Row.metadata.tables[table]
    chosen = [known.c[name] for name in columns] or list(known.c)
    query = select(*chosen).order_by(*known.primary_key).execution_options(yield_per=_BATCH)
    try:
        for row in books.session.execute(query).mappings():
            yield {column.name: _checked(column, row[column.name]) for column in chosen}
    except (ValueError, TypeError) as error:
        raise RegistryDamaged(f"the table {table} holds what it cannot hold: {error}") from error


def _checked(column: Column[Any], value: Any) -> Any:
    kind = column.type.python_type
    fits = isinstance(value, dict | list) if isinstance(column.type, JSON) else isinstance(value, kind)
    fits = fits or (kind is float and isinstance(value, int)) or (value is None and column.nullable)
    if not fits or (kind is int and isinstance(value, bool)):
        raise TypeError(f"a {type(value).__name__} in the column {column.name}, which takes {kind.__name__}")
    return value


def dangling_references(books: Books) -> Iterator[DanglingReference]:
    """Yield every reference that leads nowhere: SQLite keeps them where it was told not to look."""
    for table in Row.metadata.sorted_tables:
        for column in table.columns:
            for key in column.foreign_keys:
                target = key.column.table.alias()
                query = (
                    select(*table.primary_key, column)
                    .outerjoin_from(table, target, column == target.c[key.column.name])
                    .where(column.is_not(None), target.c[key.column.name].is_(None))
                )
                for *own, value in books.session.execute(query):
                    name = " ".join(str(each) for each in own)
                    yield DanglingReference(table.name, column.name, name, str(value), key.column.table.name)


def database_faults(books: Books) -> tuple[str, ...]:
    """Return what the database says is wrong with its file; PostgreSQL checks its pages as it reads."""
    connection = books.session.connection()
    if connection.dialect.name != "sqlite":
        return ()
    try:
        answers = connection.execute(text(f"PRAGMA integrity_check({_MOST_FAULTS})")).scalars().all()
    except DatabaseError as error:
        return (str(error.orig),)
    return tuple(str(answer) for answer in answers if answer != "ok")


def check_release(books: Books) -> str:
    """Return the registry's schema, if it is this release's.

    Raises:
        InvalidSettings: if it is not: an older one is brought up to date by whatever serves it.
    """
    found = schema_revision(books)
    check_revision(found)
    return str(found)


def schema_revision(books: Books) -> str | None:
    """Return the last migration that was applied; None where none was."""
    return revision_of(books.session.connection())
