"""Bringing a database to the schema of this release.

Alembic is imported where something is migrated. Every command looks which schema it has before it, and that
takes one line of SQL; Alembic's own start takes half as long as all the rest of such a command.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from central.registry.database import reading, writing
from transplant.errors import InvalidSettings, RegistryDamaged

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.config import Config
    from sqlalchemy import Connection, Engine

_MIGRATIONS = Path(__file__).parent / "migrations"
_TABLE = "alembic_version"
LOGGED_SINCE = "0003"
"""The schema that brought the audit log: going back before it takes the log away."""


def upgrade_schema(engine: Engine) -> None:
    """Apply every migration that is missing, all in one transaction, which other writers wait for.

    Nobody may serve the database meanwhile: a center works with the tables that it began with.

    Raises:
        InvalidSettings: if this release does not know the database's schema.
    """
    with writing(engine).begin() as connection:
        found = revision_of(connection)
        if found is not None and found not in revisions():
            check_revision(found)
        if found != newest_revision():
            upgrade_connection(connection)


def create_schema(engine: Engine) -> None:
    """Make the tables where there are none; an earlier release's are left as they are.

    Raises:
        InvalidSettings: if they are not this release's.
    """
    with writing(engine).begin() as connection:
        found = revision_of(connection)
        if found is None:
            upgrade_connection(connection)
        else:
            check_revision(found)


def check_schema(engine: Engine) -> None:
    """Check that the tables are this release's.

    Raises:
        InvalidSettings: if they are not.
    """
    with reading(engine).connect() as connection:
        check_revision(revision_of(connection))


def check_revision(found: str | None) -> None:
    """Check that a schema is this release's.

    Raises:
        InvalidSettings: if it is not; the message says what to do.
    """
    own = newest_revision()
    if found == own:
        return
    if found is None or found in revisions():
        raise InvalidSettings(
            f"the registry has the schema {found} of an earlier release, and this one needs {own}: use the "
            "release that serves it; or stop that, take a backup with it, and start `transplant-central "
            "serve` of this one, which brings the registry up to date"
        )
    raise InvalidSettings(
        f"the registry has the schema {found} of another release, and this one knows them up to {own}: use "
        "the release that serves it"
    )


def upgrade_connection(connection: Connection, revision: str = "head") -> None:
    """Apply every migration up to `revision` within the caller's transaction.

    Raises:
        RegistryDamaged: if this release knows no such migration.
    """
    from alembic import command
    from alembic.util.exc import CommandError

    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        raise RegistryDamaged(f"this release knows no schema {revision}: {error}") from error


def newest_revision() -> str:
    """Return the last migration that this release knows."""
    return revisions()[-1]


@cache
def revisions() -> tuple[str, ...]:
    """Return every migration that this release knows, oldest first; each is a file of that name."""
    return tuple(sorted(path.name[1:5] for path in (_MIGRATIONS / "versions").glob("v[0-9]*.py")))


def is_migrated(engine: Engine) -> bool:
    """Tell whether a migration of any release was ever applied. No file of SQLite's is made by looking."""
    if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).is_file():
        return False
    with engine.connect() as connection:
        return revision_of(connection) is not None


def downgrade_schema(engine: Engine, revision: str) -> None:
    """Go back to the schema of an earlier release, in one transaction; what only later ones know is lost.

    Args:
        engine: the database, which no center serves meanwhile.
        revision: the last migration to keep, "0001" for the first release's; "base" keeps none.

    Raises:
        RegistryDamaged: if there is no such migration before the database's.
    """
    with writing(engine).begin() as connection:
        _downgrade_connection(connection, revision)


def migrate_schema(engine: Engine, revision: str, tell: Callable[[Connection, str], None]) -> str:
    """Bring a database to the schema of an earlier or a later release, in one transaction.

    Args:
        engine: the database, which no center serves meanwhile.
        revision: one of `revisions`.
        tell: writes the step into the audit log, given the schema before; not called where no log is left.

    Returns:
        The schema that it had.

    Raises:
        InvalidSettings: if this release knows no such schema, or not the database's.
        RegistryDamaged: if what the database holds cannot be said in the earlier schema.
    """
    if revision not in revisions():
        raise InvalidSettings(f"--to {revision}: this release knows the schemas {', '.join(revisions())}")
    with writing(engine).begin() as connection:
        found = revision_of(connection)
        if found is None or found not in revisions():
            check_revision(found)
            raise InvalidSettings("there are no tables to migrate")
        if found < revision:
            upgrade_connection(connection, revision)
        if found != revision and revision >= LOGGED_SINCE:
            tell(connection, found)
        if found > revision:
            _downgrade_connection(connection, revision)
    return found


def _downgrade_connection(connection: Connection, revision: str) -> None:
    from alembic import command
    from alembic.util.exc import CommandError

    config = _config()
    config.attributes["connection"] = connection
    try:
        command.downgrade(config, revision)
    except CommandError as error:
        raise RegistryDamaged(f"the registry cannot go back to schema {revision}: {error}") from error


def revision_of(connection: Connection) -> str | None:
    """Return the last migration that was applied to a database; None where none was."""
    if not inspect(connection).has_table(_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {_TABLE}")).scalar_one_or_none()  # noqa: S608


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
