"""A net that loses routes and gets them back: real registry and store, the loop turned by hand."""

from __future__ import annotations

import pytest
from fakes.grown_world import actions, damage, events, payload, proof_of, routes, versions
from fakes.turned_center import accept
from sqlalchemy import update

from central.registry.audit_book import Action
from central.registry.tables import ProbeDigestRow
from central.usecases.change_net import retire_routes, roll_back
from central.usecases.decide_claim import decide_claim, left_behind
from central.usecases.module_shelf import ModuleShelf
from central.usecases.plan_merges import plan_merges
from central.usecases.read_catalog import get_manifest
from transplant.artifact.net_document import net_digest, net_document
from transplant.errors import ForgettingDetected, MergeNotPossible, NotFound
from transplant.types import Identity, Role, Task

CLASSIFY, SEGMENT = Task.CLASSIFICATION, Task.SEGMENTATION


def test_everything_that_was_ever_published_is_rebuilt_byte_for_byte(world):
    """Founding, growth, a newer teacher, a retired category, two rollbacks: seven versions, as they were."""
    told, seen = [], set()

    def note():
        for version in versions(world):
            if version.number not in seen:
                seen.add(version.number)
                told.append((net_document(version), {m: payload(world, m) for m in version.module_ids()}))

    world.bring("dog", 1)
    world.rounds()
    note()
    world.grow("cat", 2)
    note()
    old = world.newest().routes[1]
    world.grow("cat", 3)  # the site trained a newer teacher
    note()
    assert routes(world) == [("dog", CLASSIFY), ("cat", CLASSIFY)]
    new = world.newest().routes[1]
    assert (new.category_module != old.category_module, new.task_module) == (True, old.task_module)
    assert [len(proof_of(world, number)) for number in (2, 3)] == [3, 3]  # two modules and a route are kept
    retire_routes(world.center, "cat")
    note()
    assert routes(world) == [("dog", CLASSIFY)]
    world.rounds()
    assert routes(world) == [("dog", CLASSIFY)]  # and stays away
    assert roll_back(world.center, 2).routes == versions(world)[1].routes
    note()
    assert roll_back(world.center, 3).routes == versions(world)[2].routes
    note()
    world.grow("cow", 4)
    note()
    assert [version.number for version in versions(world)] == [1, 2, 3, 4, 5, 6, 7]
    assert routes(world) == [("dog", CLASSIFY), ("cat", CLASSIFY), ("cow", CLASSIFY)]
    world.revive()  # nothing of it was remembered by the process alone
    for number, (document, payloads) in enumerate(told, start=1):
        with world.registry.read() as books:
            version = books.versions.get(number)
        assert net_document(version) == document
        assert {m: payload(world, m) for m in version.module_ids()} == payloads
    chain = versions(world)
    assert [v.parent_digest for v in chain[1:]] == [net_digest(v) for v in chain[:-1]]
    kinds = [kind for kind, _ in events(world)]
    assert kinds.count("VersionPublished") == 7
    assert ("RouteReplaced", "cat") in events(world)
    assert ("RouteRetired", "cat") in events(world)
    assert ("RouteReturned", "cat") in events(world)
    assert {Action.ROUTES_RETIRED, Action.VERSION_ROLLED_BACK} <= set(actions(world))
    assert damage(world) == []


def test_what_cannot_be_taken_away_or_brought_back_is_said(founded):
    with pytest.raises(MergeNotPossible, match="last routes"):
        retire_routes(founded.center, "dog")
    with pytest.raises(NotFound, match="no route of cat"):
        retire_routes(founded.center, "cat")
    with pytest.raises(NotFound, match="dog/segmentation"):
        retire_routes(founded.center, "dog", SEGMENT)
    with pytest.raises(MergeNotPossible, match="already"):
        roll_back(founded.center, 1)
    with pytest.raises(NotFound):
        roll_back(founded.center, 9)
    assert founded.newest().number == 1


def test_one_task_of_a_category_may_be_retired(world):
    world.bring("dog", 1, (CLASSIFY, SEGMENT))
    world.rounds()
    world.grow("cat", 2, (CLASSIFY, SEGMENT))
    retire_routes(world.center, "cat", SEGMENT)
    assert routes(world) == [("dog", CLASSIFY), ("dog", SEGMENT), ("cat", CLASSIFY)]


def test_one_route_comes_back_and_everything_else_stays(world):
    world.bring("dog", 1, (CLASSIFY, SEGMENT))
    world.rounds()
    world.grow("cat", 2, (CLASSIFY, SEGMENT))
    number = world.newest().number
    was = world.newest()
    retire_routes(world.center, "cat")  # by mistake
    world.grow("cow", 3)
    came = roll_back(world.center, number, "cat", SEGMENT)
    assert routes(world) == [("dog", CLASSIFY), ("dog", SEGMENT), ("cat", SEGMENT), ("cow", CLASSIFY)]
    assert came.routes[2] in was.routes
    roll_back(world.center, number, "cat")
    assert routes(world) == [
        *[("dog", CLASSIFY), ("dog", SEGMENT), ("cat", CLASSIFY), ("cat", SEGMENT), ("cow", CLASSIFY)]
    ]
    with pytest.raises(MergeNotPossible, match="has the routes of cat of version"):
        roll_back(world.center, number, "cat")
    with pytest.raises(NotFound, match="has no route of cow"):
        roll_back(world.center, number, "cow")
    with pytest.raises(MergeNotPossible, match="name the category"):
        roll_back(world.center, number, None, SEGMENT)
    assert damage(world) == []


def test_after_a_claim_back_the_earlier_routes_are_named_and_come_back(founded):
    founded.grow("cat", 2)
    first = founded.newest().routes[1]
    founded.bring("cat", 3, owner="cow")
    with founded.registry.read() as books:
        assert left_behind(books, "cat", "site-cat") == 0
    decide_claim(founded.center, "cat", "site-cow")
    while founded.newest().routes[1] == first:
        founded.rounds(2)
        founded.engine.finish()
        founded.rounds(2)
        accept(founded, "cow")
    assert decide_claim(founded.center, "cat", "site-cat") == 0
    with founded.registry.read() as books:
        number = left_behind(books, "cat", "site-cat")
    assert number == 2
    assert roll_back(founded.center, number, "cat").routes[1] == first
    founded.rounds()
    assert founded.newest().routes[1] == first  # and stays
    with founded.registry.read() as books:
        assert left_behind(books, "cat", "site-cat") == 0
        assert left_behind(books, "cat", "site-cow") == 3


def test_a_route_that_rotted_does_not_come_back(founded):
    founded.grow("cat", 2)
    adapter = founded.newest().routes[1].adapter
    retire_routes(founded.center, "cat")
    with founded.registry.read() as books:
        path = ModuleShelf.of(founded.center, books, [adapter]).path(adapter)
        key = books.versions.get(2).routes[1].merge_key
    with founded.registry.write() as books:
        changed = update(ProbeDigestRow).where(ProbeDigestRow.merge_key == key).values(logits_sha256="0" * 64)
        books.session.execute(changed)
    with pytest.raises(ForgettingDetected, match="otherwise than when it was published"):
        roll_back(founded.center, 2)
    assert path.is_file()
    assert founded.newest().number == 3


def test_what_was_published_once_stays_readable(founded):
    founded.grow("cat", 2)
    adapter = founded.newest().routes[1].adapter
    retire_routes(founded.center, "cat")
    reader = Identity(Role.READER, "ann")
    assert get_manifest(founded.center, reader, adapter).module_id == adapter


def test_planning_once_more_adds_nothing_whatever_happened(founded):
    founded.grow("cat", 2)
    retire_routes(founded.center, "cat")
    with founded.registry.write() as books:
        assert plan_merges(founded.center, books) == 0
