"""The way back to an earlier release, and forward again, at the command line."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from fakes.grown_center import grown_home

from central import cli
from central.fsck.inspect_center import inspect_center
from central.home import only_serve, open_known_registry
from central.registry.audit_book import Action
from central.registry.schema import newest_revision
from transplant.errors import AlreadyServing, InvalidSettings, RegistryDamaged


@pytest.fixture
def settings(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return grown_home(home)


@pytest.fixture
def run(settings, monkeypatch, capsys):
    def command(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["transplant-central", *arguments, "--home", str(settings.home)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        return ended.value.code, told.out + told.err

    return command


def schema_of(settings):
    with closing(sqlite3.connect(settings.home / "registry.sqlite")) as db:
        return db.execute("SELECT version_num FROM alembic_version").fetchone()[0]


def test_a_registry_goes_back_to_an_earlier_release_and_forward_again(settings, run):
    assert run("migrate", "--to", newest_revision()) == (
        0,
        f"the registry has the schema {newest_revision()} already\n",
    )
    assert run("migrate", "--to", "0004") == (0, "schema 0005 -> 0004\n")
    assert schema_of(settings) == "0004"
    assert "earlier release" in run("status")[1]
    assert run("migrate", "--to", "0005") == (0, "schema 0004 -> 0005\n")
    registry = open_known_registry(settings)
    with registry.read() as books:
        books.audit.verify()
        entries = [entry for entry in books.audit.entries() if entry.action == Action.REGISTRY_MIGRATED]
    registry.close()
    assert [(entry.actor, entry.subject) for entry in entries] == [("console", "0004"), ("console", "0005")]
    assert inspect_center(settings).findings == ()  # decisions and signatures are lost, and the log says why


def test_going_back_before_the_audit_log_is_said(settings, run):
    assert run("migrate", "--to", "0002") == (
        0,
        "schema 0005 -> 0002, and the audit log is gone with it: keep your backup\n",
    )
    assert run("migrate", "--to", "0005")[0] == 0
    registry = open_known_registry(settings)
    with registry.read() as books:
        assert books.audit.verify().position == 1
    registry.close()


def test_nothing_is_migrated_while_somebody_serves_or_where_it_cannot_be(settings, run):
    with only_serve(settings.home):
        assert run("migrate", "--to", "0004")[0] == AlreadyServing.exit_code
    registry = open_known_registry(settings)
    lock = registry.serving_lock()
    lock.take()
    assert run("migrate", "--to", "0004")[0] == AlreadyServing.exit_code  # from another home
    lock.release()
    registry.close()
    for wrong in ("base", "0099", "head"):
        code, told = run("migrate", "--to", wrong)
        assert (code, "this release knows the schemas 0001, 0002" in told) == (
            InvalidSettings.exit_code,
            True,
        )
    with closing(sqlite3.connect(settings.home / "registry.sqlite")) as db:
        db.execute("INSERT INTO route_changes SELECT 2, merge_key, 0 FROM routes LIMIT 1")
        db.commit()
    code, told = run("migrate", "--to", "0004")
    assert (code, "cannot go back to schema 0004" in told) == (RegistryDamaged.exit_code, True)
    assert schema_of(settings) == "0005"
    registry = open_known_registry(settings)
    with registry.read() as books:
        assert all(entry.action != Action.REGISTRY_MIGRATED for entry in books.audit.entries())
    registry.close()
