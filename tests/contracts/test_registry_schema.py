"""What the registry's migrations promise, run on every database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from fakes.registry_entries import add_merge
from sqlalchemy import inspect, text

from central.registry.audit_book import CENTRAL, Action
from central.registry.database import open_engine, writing
from central.registry.registry import Registry
from central.registry.schema import downgrade_schema
from central.registry.schema import revisions as known_revisions
from central.registry.tables import Row
from transplant.errors import AlreadyServing, InvalidSettings, RegistryDamaged

TABLES = {table.name for table in Row.metadata.sorted_tables} | {"alembic_version"}


@pytest.fixture
def empty_engine(empty_database):
    opened = open_engine(empty_database.url)
    yield opened
    opened.dispose()


def drift(engine):
    """Return how the database differs from the tables of the code."""
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), Row.metadata)


def execute(engine, statement):
    with writing(engine).begin() as connection:
        connection.execute(text(statement))


def test_the_migrations_make_exactly_the_tables(registry, engine):
    assert set(inspect(engine).get_table_names()) == TABLES
    assert drift(engine) == []
    registry.create()  # a second time there is nothing to do
    assert drift(engine) == []


def test_a_drift_would_be_seen(engine):
    execute(engine, "DROP INDEX ix_merges_state")
    execute(engine, "ALTER TABLE sites ADD COLUMN colour VARCHAR(7)")
    assert {change[0] for change in drift(engine)} == {"add_index", "remove_column"}


TRIGGERS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal "
    "UNION SELECT proname FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname = 'public'",
}


def layout(engine):
    """Return what a database consists of: columns, keys, indices and triggers of each table."""
    looked = inspect(engine)
    with engine.connect() as connection:
        triggers = set(connection.scalars(text(TRIGGERS[engine.dialect.name])))
    columns = looked.get_multi_columns()
    keys, unique = looked.get_multi_pk_constraint(), looked.get_multi_unique_constraints()
    foreign, indices = looked.get_multi_foreign_keys(), looked.get_multi_indexes()
    return triggers, {
        table: (
            {(each["name"], str(each["type"]), each["nullable"]) for each in columns[table]},
            keys[table]["constrained_columns"],
            {(each["name"], *each["column_names"]) for each in indices[table]},
            {tuple(each["column_names"]) for each in unique[table]},
            {(*each["constrained_columns"], each["referred_table"]) for each in foreign[table]},
        )
        for table in columns
    }


def revisions():
    """Return every migration, from none to the newest."""
    script = ScriptDirectory(str(files("central.registry") / "migrations"))
    return ["base", *(each.revision for each in reversed(list(script.walk_revisions())))]


def test_each_migration_goes_up_and_down_and_up_again(registry, engine):
    names = revisions()
    layouts = [layout(engine)]
    for name in reversed(names[:-1]):
        downgrade_schema(engine, name)
        layouts.insert(0, layout(engine))
    triggers, tables = layouts[0]
    assert (triggers, set(tables)) == (set(), {(None, "alembic_version")})
    assert [
        place for place, each in enumerate(layouts) if each in layouts[:place]
    ] == []  # each does something
    for name, wanted in zip(names[:-1], layouts[:-1], strict=True):
        bring_up_to_date(registry)
        assert layout(engine) == layouts[-1]
        downgrade_schema(engine, name)
        assert layout(engine) == wanted
    with pytest.raises(RegistryDamaged, match="cannot go back"):
        downgrade_schema(engine, "no-such-schema")


def test_what_a_schema_knows_stays_when_it_goes_down_and_up_again(registry, engine):
    with registry.write() as books:
        merge = add_merge(books)
        books.audit.append(CENTRAL, Action.MERGE_PLANNED, merge.task.key)
    downgrade_schema(engine, "0001")
    bring_up_to_date(registry)
    assert drift(engine) == []
    with registry.read() as books:
        assert books.merges.get(merge.task.key) == merge
        assert [len(teacher.tasks()) for teacher in books.teachers.all()] == [1]
        assert books.audit.verify().position == 0


def test_migrations_are_known_by_their_files():
    assert ["base", *known_revisions()] == revisions()


def test_a_schema_goes_down_to_nothing_and_up_again(registry, engine):
    with registry.write() as books:
        add_merge(books)
    downgrade_schema(engine, "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    registry.create()
    assert drift(engine) == []
    with registry.write() as books:
        assert books.merges.list() == ()
        add_merge(books)


def test_commands_that_meet_an_empty_database_together_make_its_tables_once(empty_database, empty_engine):
    registries = [empty_database.open() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Registry.create, registries))
    assert drift(empty_engine) == []


def test_a_migration_that_fails_leaves_nothing_behind(empty_database, empty_engine):
    execute(empty_engine, "CREATE TABLE probe_requests (somebody_elses INTEGER)")  # in the last one's way
    with pytest.raises(InvalidSettings, match=r"cannot open the registry .*probe_requests.* exists"):
        empty_database.open().create()
    assert inspect(empty_engine).get_table_names() == ["probe_requests"]
    execute(empty_engine, "DROP TABLE probe_requests")
    empty_database.open().create()
    assert drift(empty_engine) == []


# --- other releases ------------------------------------------------------------------------------------


def bring_up_to_date(registry):
    """Do as a center does that begins to serve, and ends at once."""
    lock = registry.serving_lock()
    registry.take_over(lock)
    lock.release()


def lock_of(registry):
    lock = registry.serving_lock()
    lock._grace_s = 0.0
    return lock


def test_a_database_of_a_newer_release_is_left_alone(registry, engine):
    execute(engine, "UPDATE alembic_version SET version_num = 'from-the-future'")
    for open_it in (registry.check, registry.create, lambda: bring_up_to_date(registry)):
        with pytest.raises(InvalidSettings, match="schema from-the-future of another release"):
            open_it()
    assert set(inspect(engine).get_table_names()) == TABLES
    lock = lock_of(registry)
    lock.take()  # who was refused has not kept it
    lock.release()


def test_only_who_serves_brings_a_database_up_to_date(registry, engine):
    before = revisions()[-2]
    downgrade_schema(engine, before)
    older = layout(engine)
    for open_it in (registry.check, registry.create):
        with pytest.raises(InvalidSettings, match=rf"schema {before} of an earlier .* start .*central serve"):
            open_it()
    assert layout(engine) == older
    bring_up_to_date(registry)
    registry.check()
    assert drift(engine) == []


def test_nothing_is_migrated_under_a_center_that_serves(registry, engine, database):
    downgrade_schema(engine, revisions()[-2])
    older, held = layout(engine), lock_of(registry)
    held.take()  # the earlier release's center
    newer = database.open()
    with pytest.raises(AlreadyServing):
        newer.take_over(lock_of(newer))
    assert layout(engine) == older
    held.release()
    bring_up_to_date(newer)
    assert drift(engine) == []


def test_of_centers_that_start_together_one_migrates_and_serves(engine, database):
    downgrade_schema(engine, revisions()[-2])
    registries = [database.open() for _ in range(4)]
    locks = [lock_of(each) for each in registries]

    def begin(each, lock):
        try:
            each.take_over(lock)
        except AlreadyServing:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(begin, registries, locks)) == [False, False, False, True]
    assert drift(engine) == []
    for lock in locks:
        lock.release()


def test_a_center_that_cannot_migrate_does_not_serve(empty_database, empty_engine):
    execute(empty_engine, "CREATE TABLE probe_requests (somebody_elses INTEGER)")
    registry = empty_database.open()
    with pytest.raises(InvalidSettings, match="cannot open the registry"):
        bring_up_to_date(registry)
    lock = lock_of(empty_database.open())
    lock.take()
    lock.release()
