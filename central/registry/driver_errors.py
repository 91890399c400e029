"""One translation of what the database drivers raise."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

from transplant.errors import RegistryConflict, RegistryDamaged, RegistryUnavailable, StorageFull

if TYPE_CHECKING:
    from collections.abc import Generator

    from transplant.errors import TransplantError

# Beginnings of SQLite's error names and of PostgreSQL's SQLSTATEs (PostgreSQL manual, appendix A), the
# first that fits decides.
_MEANING: tuple[tuple[tuple[str, ...], type[TransplantError], str], ...] = (
    (
        ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "53100"),
        StorageFull,
        "the disk under the registry is full",
    ),
    (("SQLITE_CONSTRAINT", "23"), RegistryConflict, "the registry refused a contradiction"),
    (("SQLITE_CORRUPT", "SQLITE_NOTADB", "XX001", "XX002"), RegistryDamaged, "the registry is damaged"),
    (("SQLITE_BUSY", "SQLITE_LOCKED", "55P03"), RegistryUnavailable, "the registry is busy"),
    (
        # connection lost; rolled back by the server; out of memory or connections; ended by an operator
        ("08", "25P03", "40", "53", "57"),
        RegistryUnavailable,
        "the registry's database does not answer",
    ),
)


@contextmanager
def registry_errors() -> Generator[None]:
    """Translate what a driver raises; what has no meaning for the caller passes as it is.

    Raises:
        StorageFull: if the disk under the database is full.
        RegistryConflict: if a uniqueness or reference rule of the schema would be broken.
        RegistryDamaged: if the database file is not one or is broken.
        RegistryUnavailable: if the database went away, or others kept it busy for too long.
    """
    try:
        yield
    except NoFreeConnection as error:
        raise RegistryUnavailable("the registry is busy: all of its connections are in use") from error
    except DBAPIError as error:
        known = translated(error)
        if known is None:
            raise
        raise known from error


def translated(error: DBAPIError) -> TransplantError | None:
    """Return what a driver's error means to a caller, or None where it means a bug."""
    name = str(getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None) or "")
    for beginnings, kind, meaning in _MEANING:
        if name.startswith(beginnings):
            return kind(f"{meaning} ({reason_of(error)})")
    # libpq names no SQLSTATE when a connection cannot be made or breaks
    if error.connection_invalidated or (error.statement is None and hasattr(error.orig, "sqlstate")):
        return RegistryUnavailable(f"the registry's database does not answer ({reason_of(error)})")
    return None


def reason_of(error: DBAPIError) -> str:
    """Return what the driver says, on one line."""
    return " ".join(str(error.orig).split())
