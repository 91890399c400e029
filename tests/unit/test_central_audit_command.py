"""`transplant-central audit`, the noted head, and the thread that keeps it."""

from __future__ import annotations

import json
import sqlite3
import sys
import threading

import pytest
from fakes.clock import FakeClock

from central import cli
from central.audit.noted_head import HeadNotes, note_head, noted_head
from central.registry.audit_book import CENTRAL, CONSOLE, Action
from central.registry.audit_chain import ChainHead, KnownHead
from central.registry.database import sqlite_url
from central.registry.registry import Registry
from central.serving_watch import ServingWatch
from transplant.errors import AlreadyServing, AuditChainBroken, RegistryUnavailable


@pytest.fixture
def home(tmp_path):
    """A home whose log has three entries, of which two were noted."""
    registry = Registry(sqlite_url(tmp_path / "registry.sqlite"), clock=FakeClock())
    registry.create()
    for number in range(3):
        with registry.write() as books:
            books.audit.append(CENTRAL, Action.MERGE_MOVED, f"merge {number}", reason="[red]no markup")
            if number == 1:
                note_head(tmp_path, books.audit.head())
    registry.close()
    return tmp_path


@pytest.fixture
def opened(home):
    registry = Registry(sqlite_url(home / "registry.sqlite"))
    yield registry
    registry.close()


def append(registry, subject) -> ChainHead:
    with registry.write() as books:
        books.audit.append(CONSOLE, Action.BACKUP_TAKEN, subject)
        return books.audit.head()


def damage(home, *statements) -> None:
    connection = sqlite3.connect(home / "registry.sqlite")
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.fixture
def audit(home, monkeypatch, capsys):
    """Return what runs `audit` and returns its exit code and what it printed."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["transplant-central", "audit", *arguments, "--home", str(home)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out + captured.err

    return run


def test_verify_prints_the_head_and_takes_it_back(audit, opened):
    with opened.read() as books:
        first, _, head = books.audit.last(3)
    assert audit("verify") == (0, f"3 entries, head {head.digest}\n")
    for digest in (first.digest, head.digest):
        assert audit("verify", "--expect-head", digest)[0] == 0
    code, told = audit("verify", "--expect-head", "f" * 64)
    assert (code, "truncated or rewritten" in told, "f" * 64 in told) == (71, True, True)
    code, told = audit("verify", "--expect-head", "short")
    assert (code, "64 hexadecimal digits" in told) == (64, True)


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (["UPDATE audit_log SET actor = 'site a' WHERE position = 2"], "entry 2 was changed"),
        (["DELETE FROM audit_log WHERE position = 1"], "entry 1 is missing"),
        (["DELETE FROM audit_log WHERE position > 1"], "truncated or rewritten: it ends with entry 1"),
        (["DELETE FROM audit_log"], "truncated or rewritten: it ends with entry 0"),
    ],
)
def test_damage_has_an_exit_code_of_its_own(home, audit, statements, words):
    damage(home, *statements)
    code, told = audit("verify")
    assert code == AuditChainBroken.exit_code == 71
    assert told.startswith("error: AuditChainBroken: ")
    assert words in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("value", ["x'fffe'", "cast(x'fffe' AS TEXT)", "7"])
def test_what_is_no_text_at_all_is_found(home, audit, value):
    damage(home, f"UPDATE audit_log SET actor = {value} WHERE position = 2")  # noqa: S608
    code, told = audit("verify")
    assert code == 71
    assert "entry 2 was changed" in told or "the log cannot be read" in told


def test_a_newer_end_than_the_noted_one_may_be_missing_unless_it_is_known_elsewhere(home, audit, opened):
    with opened.read() as books:
        head = books.audit.head()
    damage(home, "DELETE FROM audit_log WHERE position > 2")
    assert audit("verify")[0] == 0
    assert audit("verify", "--expect-head", head.digest)[0] == 71


def test_an_operator_may_note_the_head_again(home, audit):
    damage(home, "DELETE FROM audit_log WHERE position > 1")
    assert audit("verify")[0] == 71
    code, told = audit("verify", "--note-head")
    assert code == 0
    assert audit("verify") == (0, told)
    damage(home, "UPDATE audit_log SET actor = 'x'")
    before = noted_head(home)
    assert audit("verify", "--note-head")[0] == 71
    assert noted_head(home) == before


def test_show_prints_the_newest_entries(home, audit):
    code, told = audit("show", "--last", "2", "--json")
    document = json.loads(told)
    assert code == 0
    assert [entry["subject"] for entry in document["entries"]] == ["merge 1", "merge 2"]
    assert document["entries"][-1]["digest"] == document["head"]
    assert document["entries"][0]["detail"] == {"reason": "[red]no markup"}
    code, told = audit("show")
    assert [f"merge {number}" in told for number in range(3)] == [True] * 3
    assert "[red]no markup" in told
    damage(home, "UPDATE audit_log SET detail = 'no json'")
    assert [each["detail"] for each in json.loads(audit("show", "--json")[1])["entries"]] == ["no json"] * 3


@pytest.mark.parametrize("text", ["", "2\n", "2 abc\n", "no\0thing", "-1 " + "0" * 64 + "\n"])
def test_a_note_that_is_none_is_said(home, audit, text):
    (home / "audit.head").write_text(text)
    code, told = audit("verify")
    assert (code, "audit.head was changed" in told) == (71, True)
    assert audit("verify", "--note-head")[0] == 0
    assert audit("verify")[0] == 0


# --- while a center serves ---------------------------------------------------------------------------


def test_the_note_follows_the_log(home, opened):
    notes = HeadNotes(home, opened)
    notes.start()
    notes.note()
    assert noted_head(home).position == 3
    head = append(opened, "somewhere")
    notes.note()
    assert noted_head(home) == KnownHead(head.digest, 4, str(home / "audit.head"))
    (home / "audit.head").unlink()
    notes.note()
    assert noted_head(home) is None  # nothing new: nothing is written
    HeadNotes(home, opened).start()


def test_the_note_stays_where_the_log_does_not_contain_it(home, opened, caplog):
    before = noted_head(home)
    damage(home, "DELETE FROM audit_log WHERE position > 1")
    notes = HeadNotes(home, opened)
    notes.start()
    assert "audit verify" in caplog.text
    append(opened, "forged")
    append(opened, "forged too")
    notes.note()
    assert noted_head(home) == before


def test_a_damaged_note_stays_as_it_is(home, opened, caplog):
    (home / "audit.head").write_text("gone")
    notes = HeadNotes(home, opened)
    notes.start()
    notes.note()
    assert "was changed" in caplog.text
    assert (home / "audit.head").read_text() == "gone"


class Lock:
    """A lock whose fate is told in advance."""

    def __init__(self, *fates):
        self.fates = list(fates)

    def take(self): ...

    def release(self): ...

    def keep(self):
        fate = self.fates.pop(0) if self.fates else None
        if fate is not None:
            raise fate


class Notes:
    """Counts how often it is asked to note."""

    def __init__(self):
        self.noted = threading.Semaphore(0)

    def note(self):
        self.noted.release()


def test_the_watch_outlasts_a_database_that_is_away(caplog):
    away = RegistryUnavailable("away")
    notes = Notes()
    watch = ServingWatch(Lock(away, away, None, away), notes, lambda: None, every_s=0.001)
    watch.start()
    assert all(notes.noted.acquire(timeout=30) for _ in range(3))
    watch.stop()
    assert watch.lost is None
    assert len(caplog.records) == 2  # once for each time that it went away


def test_the_watch_gives_up_where_another_center_was_faster():
    given_up = threading.Event()
    lost = AlreadyServing("another")
    watch = ServingWatch(Lock(None, lost), Notes(), given_up.set, every_s=0.001)
    watch.start()
    assert given_up.wait(30)
    watch.stop()
    assert watch.lost is lost


def test_a_serve_that_lost_its_registry_ends_with_the_reason(tmp_path, monkeypatch, capsys):
    class Lost:
        lost = AlreadyServing("another center was faster")

        def __init__(self, _settings, give_up):
            self.start = give_up

        def stop(self): ...

    monkeypatch.setattr("central.compose.Serving", Lost)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["transplant-central", "serve", "--home", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == AlreadyServing.exit_code
    assert "error: AlreadyServing: another center was faster" in capsys.readouterr().err


def test_a_watch_that_never_began_stops():
    ServingWatch(Lock(), Notes(), lambda: None).stop()
