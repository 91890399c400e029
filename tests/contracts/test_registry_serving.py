"""Who may serve a registry, on every database: one center at a time, also after the database went away."""

from __future__ import annotations

import fcntl
import threading

import pytest
from fakes.postgresql import STRANGER
from sqlalchemy import event, text

from central.cli import main
from central.home import open_known_registry, open_registry
from central.registry.database import open_engine, sqlite_url, writing
from central.registry.registry import Registry
from central.registry.schema import downgrade_schema
from central.registry.serving_lock import FileLock, SessionLock, is_locked
from central.settings import read_settings
from transplant.errors import AlreadyServing, InvalidSettings, RegistryUnavailable


def lock_of(database, grace_s=0.0):
    """Return the lock as one more center would have it."""
    lock = database.open().serving_lock()
    lock._grace_s = grace_s
    return lock


def test_one_center_serves_a_registry_and_then_another(database):
    first, second = lock_of(database), lock_of(database)
    first.take()
    for _ in range(2):
        with pytest.raises(AlreadyServing, match="another `transplant-central serve` works on"):
            second.take()
        first.keep()
    first.release()
    second.take()
    with pytest.raises(AlreadyServing):
        first.take()
    second.release()
    second.release()
    first.take()
    first.release()


def test_a_center_starts_while_others_look_whether_one_serves(tmp_path):
    """Who only looks holds the lock for a moment, too: that is waited for, and seen by no other who looks."""
    path = tmp_path / "lock"
    assert not is_locked(path)
    path.touch()
    with path.open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not is_locked(path)
        with pytest.raises(AlreadyServing):
            FileLock(path, "it", grace_s=0.0).take()
        threading.Timer(0.1, lambda: fcntl.flock(looking, fcntl.LOCK_UN)).start()
        lock = FileLock(path, "it", grace_s=60.0)
        lock.take()
    assert is_locked(path)
    lock.release()
    assert not is_locked(path)


def test_two_databases_have_two_centers(databases):
    with databases(True) as one, databases(True) as other:
        registries = [Registry(one), Registry(other)]
        locks = [registry.serving_lock() for registry in registries]
        for lock in locks:
            lock.take()
        for lock in locks:
            lock.release()
        for registry in registries:
            registry.close()


def test_who_serves_keeps_no_one_from_reading_and_writing(registry, database):
    lock = lock_of(database)
    lock.take()
    with registry.write() as books:
        assert books.audit.head().position == 0
    lock.release()


# --- PostgreSQL: connections that break ------------------------------------------------------------


@pytest.mark.postgres
def test_a_center_takes_its_lock_again_after_a_restart_of_the_database(postgresql_database, postgres):
    lock, other = lock_of(postgresql_database), lock_of(postgresql_database)
    lock.take()
    postgres.stop()
    try:
        for _ in range(2):
            with pytest.raises(RegistryUnavailable, match="does not answer"):
                lock.keep()
    finally:
        postgres.start()
    lock.keep()
    with pytest.raises(AlreadyServing):
        other.take()
    lock.release()


@pytest.mark.postgres
def test_a_center_that_was_slower_than_another_is_told_to_stop(postgresql_database, postgres):
    lock, other = lock_of(postgresql_database), lock_of(postgresql_database)
    lock.take()
    assert postgres.terminate(postgresql_database.name) == 1
    other.take()
    with pytest.raises(AlreadyServing, match="since 2"):
        lock.keep()
    other.keep()
    other.release()
    lock.keep()
    lock.release()


@pytest.mark.postgres
def test_a_session_of_ones_own_that_the_network_cut_off_is_ended(postgresql_database):
    lock, other = lock_of(postgresql_database), lock_of(postgresql_database)
    lock.take()
    lost = lock._connection
    assert lost is not None
    lock._connection = None  # as after an error of the network, of which the server knows nothing yet
    lock.keep()
    with pytest.raises(AlreadyServing):
        other.take()
    lock.release()
    other.take()
    other.release()
    lost.close()


@pytest.mark.postgres
def test_a_center_waits_for_one_that_is_about_to_go(postgresql_database):
    lock = lock_of(postgresql_database)
    engine, asked = open_engine(postgresql_database.url), []

    def ask_and_let_go(_connection, _cursor, statement, *_):
        asked.append(statement)
        if len(asked) == 4:
            lock.release()

    lock.take()
    event.listen(engine, "before_cursor_execute", ask_and_let_go)
    waiting = SessionLock(engine, grace_s=30.0)
    waiting.take()
    assert len(asked) > 4
    with pytest.raises(AlreadyServing):
        lock_of(postgresql_database).take()
    waiting.release()
    engine.dispose()


# --- registries that are not there ------------------------------------------------------------------


def settings_of(tmp_path, url):
    return read_settings({"home": tmp_path / "home", "registry_url": url})


def test_looking_at_an_empty_database_makes_no_center(tmp_path, empty_database):
    settings = settings_of(tmp_path, empty_database.url)
    with pytest.raises(InvalidSettings, match=r"there is no center in \S+; .*provision ca"):
        open_known_registry(settings)
    engine = open_engine(empty_database.url)
    with engine.connect() as connection:
        tables = {"sqlite": "sqlite_master", "postgresql": "pg_tables WHERE schemaname = 'public'"}
        query = f"SELECT count(*) FROM {tables[engine.dialect.name]}"  # noqa: S608
        assert connection.scalar(text(query)) == 0
    engine.dispose()
    open_registry(settings).close()
    open_known_registry(settings).close()


def test_a_database_of_something_else_is_left_alone(tmp_path, empty_database):
    settings = settings_of(tmp_path, empty_database.url)
    engine = open_engine(empty_database.url)
    with writing(engine).begin() as connection:
        connection.execute(text("CREATE TABLE sites (somebody_elses INTEGER)"))
    with pytest.raises(InvalidSettings, match="there is no center"):
        open_known_registry(settings)
    with writing(engine).begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('4f1c')"))
    engine.dispose()
    with pytest.raises(InvalidSettings, match="schema 4f1c of another release"):
        open_known_registry(settings)


def test_a_command_on_an_earlier_releases_database_says_what_to_do(
    tmp_path, empty_database, monkeypatch, capsys
):
    settings = settings_of(tmp_path, empty_database.url)
    open_registry(settings).close()
    engine = open_engine(empty_database.url)
    downgrade_schema(engine, "0003")
    command = ["status", "--home", str(settings.home), "--registry-url", empty_database.url]
    monkeypatch.setattr("sys.argv", ["transplant-central", *command])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == InvalidSettings.exit_code
    said = capsys.readouterr().err
    assert "the registry has the schema 0003 of an earlier release" in said
    assert "start `transplant-central serve` of this one" in said
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "0003"
    engine.dispose()


def test_looking_makes_no_file(tmp_path):
    for url in (sqlite_url(tmp_path / "mistyped.sqlite"), ""):
        with pytest.raises(InvalidSettings, match="there is no center"):
            open_known_registry(settings_of(tmp_path, url))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.postgres
def test_a_database_that_does_not_answer_is_said(tmp_path, postgres):
    with pytest.raises(InvalidSettings, match='database "nowhere" does not exist'):
        open_known_registry(settings_of(tmp_path, postgres.url("nowhere", STRANGER)))
