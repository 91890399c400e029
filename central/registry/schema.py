"""Bringing a database to the schema of this release."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from central.registry.database import writing
from transplant.errors import RegistryDamaged

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade_schema(engine: Engine) -> None:
    """Apply every migration that is missing, all in one transaction, which other writers wait for.

    Raises:
        RegistryDamaged: if the database was written by a newer release.
    """
    config = _config()
    head = ScriptDirectory.from_config(config).get_current_head()
    with writing(engine).begin() as connection:
        if MigrationContext.configure(connection).get_current_revision() == head:
            return
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise RegistryDamaged(
                f"the registry was written by another release of this program: {error}"
            ) from error


def upgrade_connection(connection: Connection, revision: str = "head") -> None:
    """Apply every migration up to `revision` within the caller's transaction.

    Raises:
        RegistryDamaged: if this release knows no such migration.
    """
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        raise RegistryDamaged(f"this release knows no schema {revision}: {error}") from error


def newest_revision() -> str:
    """Return the last migration that this release knows."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def revisions() -> tuple[str, ...]:
    """Return every migration that this release knows, oldest first."""
    known = [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()]
    return tuple(reversed(known))


def is_migrated(engine: Engine) -> bool:
    """Tell whether a migration of any release was ever applied. No file of SQLite's is made by looking."""
    if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).is_file():
        return False
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() is not None


def downgrade_schema(engine: Engine, revision: str) -> None:
    """Go back to the schema of an earlier release, in one transaction; what only later ones know is lost.

    Args:
        engine: the database, which no center serves meanwhile.
        revision: the last migration to keep, "0001" for the first release's; "base" keeps none.

    Raises:
        RegistryDamaged: if there is no such migration before the database's.
    """
    config = _config()
    with writing(engine).begin() as connection:
        config.attributes["connection"] = connection
        try:
            command.downgrade(config, revision)
        except CommandError as error:
            raise RegistryDamaged(f"the registry cannot go back to schema {revision}: {error}") from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
