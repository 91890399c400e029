"""What a transaction of the registry promises: whole or not at all, one writer, one view."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from fakes.artifacts import sealed
from fakes.registry_crowd import WRITERS, count_up_together, together
from fakes.registry_entries import NOW, add_merge, upload_of, version_of
from sqlalchemy.exc import DBAPIError

from central.registry.values import Certificate
from transplant.artifact.net_document import net_digest
from transplant.errors import RegistryConflict, RegistryUnavailable
from transplant.types import Role


class PowerCutError(Exception):
    """Leaves a transaction in its middle."""


def is_empty(registry) -> bool:
    with registry.read() as books:
        found = (books.modules.list(), books.merges.list(), books.events.after(0), books.teachers.all())
        return not any((*found, books.sites.all(), books.uploads.all(), books.versions.after(0)))


def half_a_merge(registry) -> None:
    with registry.write() as books:
        add_merge(books)
        books.events.add("MergeMoved", "k", NOW)
        raise PowerCutError


# --- whole or not at all -------------------------------------------------------------------------


def test_a_transaction_is_all_or_nothing(registry):
    with pytest.raises(PowerCutError):
        half_a_merge(registry)
    assert is_empty(registry)


def test_a_conflict_at_the_end_takes_the_beginning_back(registry):
    with registry.write() as books:
        first = version_of(add_merge(books))
        books.versions.publish(first, NOW)

    def publish_and_declare_twice():
        with registry.write() as books:
            merge = add_merge(books, "cat")
            books.versions.publish(version_of(merge, 2, net_digest(first), first.routes), NOW)
            books.sites.admit("site-a", ["dog"], NOW)
            books.uploads.add(upload_of())
            books.uploads.add(upload_of())

    with pytest.raises(RegistryConflict):
        publish_and_declare_twice()
    with registry.read() as books:
        assert books.versions.get() == first
        assert [merge.task.category for merge in books.merges.list()] == ["dog"]
        assert books.sites.all() == {}


def test_what_was_committed_is_there_for_the_next_center(database):
    with database.open().write() as books:
        merge = add_merge(books)
    with database.open().read() as books:
        assert books.merges.get(merge.task.key) == merge


def test_a_read_changes_nothing(registry):
    with pytest.raises(DBAPIError), registry.read() as books:
        books.sites.admit("site-a", ["dog"], NOW)
    assert is_empty(registry)


def test_a_writer_that_is_killed_leaves_the_old_state_and_no_lock(database):
    registry = database.open()
    killed = (
        "import sys; from datetime import UTC, datetime; from central.registry.registry import Registry\n"
        f"with Registry({database.url!r}).write() as books:\n"
        "    books.sites.admit('site-a', ['dog'], datetime.now(UTC)); print('half', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", killed], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"half\n"
        writer.send_signal(signal.SIGKILL)
    with registry.write() as books:  # waits until the database has noticed
        assert books.sites.all() == {}
        books.sites.admit("site-b", ["cat"], NOW)
    with registry.read() as books:
        assert books.sites.all() == {"site-b": ("cat",)}


# --- one writer at a time ------------------------------------------------------------------------


def test_no_update_is_lost(database):
    count_up_together(database.open(), database.open())


def test_two_that_take_the_same_key_are_told_apart(database):
    registries = [database.open(), database.open()]

    def issue(name):
        with registries[len(name) % 2].write() as books:
            books.sites.admit(name, ["dog"], NOW)
            books.sites.add_certificate(Certificate("1f", Role.SITE, name, NOW, revoked=False))
        return name

    names = ["a" * length for length in range(1, WRITERS + 1)]
    ended = together([lambda name=name: issue(name) for name in names])
    (winner,) = [each for each in ended if isinstance(each, str)]
    assert sum(isinstance(each, RegistryConflict) for each in ended) == WRITERS - 1
    with registries[0].read() as books:
        assert books.sites.all() == {winner: ("dog",)}
        certificate = books.sites.certificate("1f")
        assert certificate is not None
        assert certificate.name == winner


def test_one_of_two_successors_is_published(database):
    registries = [database.open(), database.open()]
    with registries[0].write() as books:
        first = version_of(add_merge(books))
        books.versions.publish(first, NOW)
        merges = [add_merge(books, category) for category in ("ant", "bee", "cat", "cow")]

    def publish(number, merge):
        version = version_of(merge, 2, net_digest(first), first.routes)
        with registries[number % 2].write() as books:
            books.versions.publish(version, NOW)
        return version

    calls = [lambda number=number, merge=merge: publish(number, merge) for number, merge in enumerate(merges)]
    ended = together(calls)
    (winner,) = [each for each in ended if not isinstance(each, RegistryConflict)]
    with registries[0].read() as books:
        assert books.versions.after(0) == (first, winner)


def test_positions_have_no_gap_and_no_double(database):
    registries = [database.open(), database.open()]
    manifests = [sealed(category=f"c{number}")[0] for number in range(WRITERS)]

    def register(number):
        with registries[number % 2].write() as books:
            return books.modules.add(manifests[number], NOW)

    assert all(together([lambda number=number: register(number) for number in range(WRITERS)]))
    with registries[0].read() as books:
        assert [module.position for module in books.modules.list()] == list(range(1, WRITERS + 1))


def test_a_writer_that_waits_in_vain_is_told_to_come_again(database):
    first, second = database.open(), database.open(wait_s=0.1)
    with first.write() as books:
        books.sites.admit("site-a", ["dog"], NOW)
        with pytest.raises(RegistryUnavailable, match="busy") as caught, second.write() as others:
            others.sites.admit("site-b", ["cat"], NOW)
        assert caught.value.retry
    with second.write() as books:
        books.sites.admit("site-b", ["cat"], NOW)
        assert books.sites.all() == {"site-a": ("dog",), "site-b": ("cat",)}


# --- one view ------------------------------------------------------------------------------------


def test_a_reader_waits_for_no_writer_and_sees_no_half(database):
    registry, other = database.open(), database.open(wait_s=0.1)
    with registry.write() as books:
        add_merge(books)
        assert is_empty(other)
    assert not is_empty(other)


def test_a_reader_sees_one_state_from_its_first_look_on(database):
    registry, other = database.open(), database.open()
    with registry.read() as books:
        assert books.events.after(0) == ()
        with other.write() as others:
            others.events.add("MergeMoved", "k", NOW)
            others.sites.admit("site-a", ["dog"], NOW)
        assert books.events.after(0) == ()
        assert books.sites.all() == {}
    with registry.read() as books:
        assert [event.subject for event in books.events.after(0)] == ["k"]


def test_a_watcher_misses_no_event_and_sees_none_twice(database):
    registries = [database.open(), database.open()]
    wanted = {f"{writer} {number}" for writer in range(4) for number in range(8)}

    def tell(writer):
        for number in range(8):
            with registries[writer % 2].write() as books:
                books.events.add("MergeMoved", f"{writer} {number}", NOW)
                books.events.add("MergeMoved", "echo", NOW)

    def watch():
        position, seen = 0, []
        while len(seen) < 2 * len(wanted):
            with registries[0].read() as books:
                events = books.events.after(position, limit=7)
            seen += [event.subject for event in events]
            position = events[-1].event_id if events else position
        return seen

    seen = together([watch, *(lambda writer=writer: tell(writer) for writer in range(4))])[0]
    subjects = [subject for subject in seen if subject != "echo"]
    assert len(subjects) == len(wanted)
    assert set(subjects) == wanted
    assert seen[1::2] == ["echo"] * len(wanted)  # each transaction's events stand together
