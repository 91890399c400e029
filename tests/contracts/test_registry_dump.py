"""Rows go out of either database and into either one, and mean the same there."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from fakes.registry_entries import NOW, add_merge, upload_of, version_of
from sqlalchemy.engine import make_url

from central.registry.audit_book import CONSOLE, Action
from central.registry.database import sqlite_url
from central.registry.registry import Registry
from central.registry.row_dump import dumped_tables, restore_rows
from central.registry.schema import newest_revision
from transplant.errors import BackupInvalid, InvalidSettings
from transplant.types import MergeState

STRANGE = {"closed": math.inf, "error": math.nan, "iou": 0.1 + 0.2}
FIRST_TABLES = (
    *("sites", "site_categories", "certificates", "blobs", "modules", "uploads", "teachers", "teacher_tasks"),
    *("merges", "merge_transitions", "verdicts", "versions", "routes", "probe_digests", "forgetting_checks"),
    "events",
)
TEXT = "é 漢 🦁 'quoted'\n\t\\"


def fill(registry) -> str:
    with registry.write() as books:
        books.sites.admit("site-a", ["dog"], NOW)
        books.uploads.add(upload_of())
        merge = add_merge(books)
        failed = replace(merge.status, state=MergeState.REJECTED, figures=STRANGE, reason=TEXT, deadline=NOW)
        books.merges.move(merge.status, failed, "GatesFailed", NOW)
        books.versions.publish(version_of(merge), NOW)
        books.versions.record_proof(1, (), "numerics", {merge.task.key: "a" * 64})
        books.events.add("ModuleAccepted", "x", NOW, detail=TEXT)
        books.audit.append(CONSOLE, Action.SITE_ADMITTED, "site-a", told=TEXT)
    return merge.task.key


def dump(registry) -> dict[str, list[bytes]]:
    with registry.read() as books:
        return {table: list(lines) for table, lines in dumped_tables(books)}


@pytest.fixture
def dumped(registry):
    key = fill(registry)
    return key, dump(registry)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def target(request):
    with request.getfixturevalue(f"{request.param}_databases")(False) as url:
        yield url


def check(url, dumped) -> None:
    key, tables = dumped
    restored = Registry(url)
    try:
        assert {name: sorted(lines) for name, lines in dump(restored).items()} == {
            name: sorted(lines) for name, lines in tables.items()
        }
        with restored.write() as books:  # counters go on behind the restored rows, and the chain holds
            books.events.add("ModuleAccepted", "y", NOW)
            assert [event.subject for event in books.events.after(0)] == ["x", "y"]
            books.audit.append(CONSOLE, Action.BACKUP_RESTORED, "here")
            assert books.audit.verify().position == 2
            status = books.merges.get(key).status
            books.merges.move(status, replace(status, attempts=5), "Touched", NOW)
            assert len(books.merges.transitions(key)) == 3
        assert (status.reason, status.deadline) == (TEXT, NOW)
        assert math.isnan(status.figures.pop("error"))
        assert status.figures == {"closed": math.inf, "iou": 0.1 + 0.2}
    finally:
        restored.close()


def test_rows_survive_on_either_database(dumped, target):
    restore_rows(target, newest_revision(), dumped[1])
    check(target, dumped)


def test_a_dump_is_one_state_of_the_registry(registry):
    fill(registry)
    with registry.read() as books:
        tables = dumped_tables(books)
        seen = {}
        for number, (table, lines) in enumerate(tables):
            if number == 0:
                with registry.write() as others:
                    others.sites.admit("site-late", ["cow"], NOW)
                    others.events.add("ModuleAccepted", "late", NOW)
            seen[table] = list(lines)
    assert b"late" not in b"".join(seen["sites"] + seen["events"] + seen["site_categories"])


def test_an_older_backup_is_brought_up_to_date(tmp_path):
    """What 0001 wrote has fewer tables, and its rows get what later migrations give them."""
    lines = {name: [] for name in FIRST_TABLES}
    lines["sites"] = [json.dumps({"name": "site-a", "created_at": {"time": NOW.isoformat()}}).encode()]
    url = sqlite_url(tmp_path / "registry.sqlite")
    restore_rows(url, "0001", lines)
    registry = Registry(url)
    with registry.read() as books:
        assert list(books.sites.all()) == ["site-a"]
        assert books.audit.head().position == 0
    registry.close()


def test_only_an_empty_database_is_filled(dumped, database):
    url = make_url(database.url).render_as_string(hide_password=False)
    with pytest.raises(InvalidSettings, match="not empty"):
        restore_rows(url, newest_revision(), dumped[1])


@pytest.mark.parametrize(
    ("revision", "changes", "told"),
    [
        ("9999", {}, "9999"),
        ("0001", {}, "tables"),
        (None, {"strange": []}, "strange"),
        (None, {"sites": [b"nonsense"]}, "sites"),
        (None, {"sites": [b'{"name": "site-a"}']}, "columns"),
        (None, {"sites": [b'{"name": {"what": 1}, "created_at": null}']}, "known type"),
    ],
)
def test_what_is_no_dump_leaves_the_database_empty(tmp_path, registry, revision, changes, told):
    fill(registry)
    url = sqlite_url(tmp_path / "new.sqlite")
    with pytest.raises(BackupInvalid, match=told):
        restore_rows(url, revision or newest_revision(), dump(registry) | changes)
    fresh = Registry(url)
    assert not fresh.exists()
    fresh.close()
