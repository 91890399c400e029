"""What the audit log promises on every database: appended with what it tells about, and never changed."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from fakes.clock import FakeClock
from fakes.registry_crowd import WRITERS, together
from fakes.registry_entries import NOW
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from central.registry.audit_book import CENTRAL, CONSOLE, Action, actor_of
from central.registry.audit_chain import GENESIS, ChainHead, KnownHead
from central.registry.database import open_engine, writing
from central.registry.driver_errors import registry_errors
from central.registry.registry import Registry
from transplant.errors import AuditChainBroken, RegistryConflict
from transplant.types import Identity, Role

SITE = Identity(Role.SITE, "site-a")
TRIGGERS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
}


def append(registry, *subjects) -> ChainHead:
    for subject in subjects:
        with registry.write() as books:
            books.audit.append(actor_of(SITE), Action.MODULE_DECLARED, subject, bytes=7)
    with registry.read() as books:
        return books.audit.head()


@pytest.fixture
def damage(database):
    """Return what executes a statement as one who owns the database and knows what stands in the way."""
    opened = writing(open_engine(database.url))

    def execute(*statements):
        with opened.begin() as connection:
            names = connection.scalars(text(TRIGGERS[opened.dialect.name])).all()
            for name in names:
                on = " ON audit_log" if opened.dialect.name == "postgresql" else ""
                connection.execute(text(f"DROP TRIGGER {name}{on}"))
            for statement in statements:
                connection.execute(text(statement))

    yield execute
    opened.dispose()


def fault(registry, *known) -> str:
    with registry.read() as books, pytest.raises(AuditChainBroken) as caught:
        books.audit.verify(known)
    return str(caught.value)


def test_an_empty_log_has_the_head_that_nothing_stands_before(registry):
    with registry.read() as books:
        assert books.audit.verify() == books.audit.head() == ChainHead(0, GENESIS)
        assert books.audit.last(9) == ()


def test_entries_stand_in_the_order_in_which_they_were_written(database):
    clock = FakeClock(NOW)
    registry = Registry(database.url, clock=clock)
    figures = {"error": float("nan"), "iou": 0.1}
    with registry.write() as books:
        books.audit.append(actor_of(SITE), Action.VERDICT_REPORTED, "k1", figures=figures, closed=50)
        books.audit.append(CENTRAL, Action.MERGE_MOVED, "k1")
    clock.advance(1.5)
    with registry.write() as books:
        books.audit.append(CONSOLE, Action.BACKUP_TAKEN, "k3", to=("a", "b"))
    with registry.read() as books:
        entries = books.audit.last(9)
        assert books.audit.last(1) == entries[2:]
        assert tuple(books.audit.entries()) == entries
        assert books.audit.verify() == ChainHead(3, entries[-1].digest)
    registry.close()
    assert [entry.position for entry in entries] == [1, 2, 3]
    assert [entry.actor for entry in entries] == ["site site-a", "central", "console"]
    assert [entry.at for entry in entries] == [
        "2026-01-01T12:00:00.000000+00:00",
        "2026-01-01T12:00:00.000000+00:00",
        "2026-01-01T12:00:01.500000+00:00",
    ]
    assert entries[0].detail == '{"closed":50,"figures":{"error":"nan","iou":0.1}}'
    assert [entry.previous_digest for entry in entries] == [GENESIS, entries[0].digest, entries[1].digest]


@pytest.mark.parametrize(
    "words", ["nul \0 and half \ud800 a pair", "x" * 5000, "\N{SNOWMAN}'; DROP TABLE audit_log; --", ""]
)
def test_words_of_any_origin_are_kept_short_and_verify(registry, words):
    with registry.write() as books:
        for _ in range(2):
            books.audit.append(words, Action.MODULE_REJECTED, words, reason=words, several=[words] * 100)
            books.audit.append(
                words, Action.MODULE_REJECTED, words, at=NOW, when=timedelta(1), deep={words: [{1}]}
            )
    with registry.read() as books:
        books.audit.verify()
        first, second = books.audit.last(2)
    assert len(first.detail) < 20_000
    assert len(json.loads(first.detail)["several"]) == 40
    assert json.loads(second.detail)["deep"] != {}


def test_an_entry_shares_the_fate_of_what_it_tells_about(registry):
    def fail():
        with registry.write() as books:
            books.sites.admit("site-a", ["dog"], NOW)
            books.audit.append(CONSOLE, Action.SITE_ADMITTED, "site-a")
            raise RegistryConflict

    head = append(registry, "one")
    with pytest.raises(RegistryConflict):
        fail()
    with registry.read() as books:
        assert books.audit.head() == head
    append(registry, "two")
    with registry.read() as books:
        assert books.audit.verify().position == 2


def test_writers_at_the_same_moment_make_one_chain(database):
    registries = [database.open(), database.open()]
    assert together([lambda n=n: append(registries[n % 2], f"{n}", f"{n}+") for n in range(WRITERS)])
    with registries[0].read() as books:
        assert books.audit.verify().position == 2 * WRITERS
        assert {entry.subject for entry in books.audit.entries()} == {
            f"{n}{mark}" for n in range(WRITERS) for mark in ("", "+")
        }


# --- what the database refuses -------------------------------------------------------------------


def row(position, previous, digest) -> str:
    values = f"{position}, 't', 'a', 'b', 'c', '{{}}', '{previous}', '{digest}'"
    return f"INSERT INTO audit_log VALUES ({values})"  # noqa: S608


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET subject = 'other' WHERE position = 2",
        "UPDATE audit_log SET position = position + 1 WHERE position = 3",
        "DELETE FROM audit_log",
        "DELETE FROM audit_log WHERE position = 3",
        "second first",
        "fork",
    ],
)
def test_the_database_refuses_every_change(registry, engine, statement):
    head = append(registry, "one", "two", "three")
    with registry.read() as books:
        second = books.audit.last(3)[1]
    statement = {
        "second first": row(4, GENESIS, "d" * 64),
        "fork": row(4, second.digest, "d" * 64),
    }.get(statement, statement)
    with pytest.raises(RegistryConflict), registry_errors(), writing(engine).begin() as connection:
        connection.execute(text(statement))
    with registry.read() as books:
        assert books.audit.verify() == head


def test_each_database_closes_the_ways_of_its_own(registry, engine):
    append(registry, "one", "two")
    way = {
        "sqlite": row(2, GENESIS, "d" * 64).replace("INSERT", "INSERT OR REPLACE"),
        "postgresql": "TRUNCATE audit_log",
    }[engine.dialect.name]
    with pytest.raises(IntegrityError, match="append-only"), writing(engine).begin() as connection:
        connection.execute(text(way))
    with registry.read() as books:
        assert books.audit.verify().position == 2


# --- what the walk finds --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE audit_log SET subject = 'other' WHERE position = 2", "entry 2 was changed"),
        ("UPDATE audit_log SET at = replace(at, ':', '.') WHERE position = 3", "entry 3 was changed"),
        ("UPDATE audit_log SET detail = '{\"bytes\": 7}' WHERE position = 1", "entry 1 was changed"),
        ("UPDATE audit_log SET digest = 'd' WHERE position = 3", "entry 3 was changed"),
        ("DELETE FROM audit_log WHERE position = 1", "entry 1 is missing before entry 2"),
        ("DELETE FROM audit_log WHERE position < 3", "entries 1 to 2 are missing before entry 3"),
        (row(4, "e" * 64, "d" * 64), "entry 4 was changed"),
    ],
)
def test_damage_is_named(registry, damage, statement, told):
    append(registry, "one", "two", "three")
    damage(statement)
    assert fault(registry).startswith(told)


def test_a_lost_end_is_found_by_those_who_know_it(registry, damage):
    first = append(registry, "one")
    last = append(registry, "two", "three")
    damage("DELETE FROM audit_log WHERE position > 1")
    with registry.read() as books:
        assert books.audit.verify([KnownHead(first.digest, 1)]) == first
        assert books.audit.holds(KnownHead(first.digest, 1))
        assert not books.audit.holds(KnownHead(last.digest, 3))
        assert books.audit.holds(KnownHead(GENESIS, 0))
    assert "truncated" in fault(registry, KnownHead(last.digest))
    again = append(registry, "two", "forged")  # later, and as long as before
    assert again.position == last.position
    assert "entry 3 was rewritten" in fault(registry, KnownHead(last.digest, 3))
    with registry.read() as books:
        assert not books.audit.holds(KnownHead(last.digest))
