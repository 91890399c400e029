"""What the registry keeps of a net that lost routes and got them back, on every database."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.registry_entries import NOW, add_merge, version_of

from central.merge.situation import Ending
from central.registry.database import open_engine
from central.registry.schema import downgrade_schema
from central.registry.values import SignedVerdict
from transplant.artifact.net_document import net_digest, net_document
from transplant.errors import NotFound, RegistryConflict, RegistryDamaged
from transplant.types import MergeState, NetVersion


@pytest.fixture
def engine(database):
    opened = open_engine(database.url)
    yield opened
    opened.dispose()


def after(version, routes):
    return NetVersion(version.number + 1, net_digest(version), tuple(routes))


@pytest.fixture
def changed(registry):
    """Dog; dog and cat; cat; dog and cat once more; dog, cat and cow."""
    versions = []
    with registry.write() as books:
        dog, cat, cow = (version_of(add_merge(books, name)).routes[0] for name in ("dog", "cat", "cow"))
        steps = [
            ([dog], (), ()),
            ([dog, cat], (), ()),
            ([cat], (dog,), ()),
            ([dog, cat], (), (dog,)),
            ([dog, cat, cow], (), ()),
        ]
        for routes, dropped, returned in steps:
            version = after(versions[-1], routes) if versions else NetVersion(1, None, tuple(routes))
            books.versions.publish(
                version,
                NOW,
                dropped=[route.merge_key for route in dropped],
                returned=[route.merge_key for route in returned],
            )
            versions.append(version)
    return versions


def test_every_version_is_rebuilt_byte_for_byte(registry, changed):
    with registry.read() as books:
        rebuilt = [books.versions.get(version.number) for version in changed]
        assert list(map(net_document, rebuilt)) == list(map(net_document, changed))
        assert books.versions.after(2) == tuple(changed[2:])
        assert books.versions.newest() == changed[-1]
        dog = changed[0].routes[0].merge_key
        assert books.versions.changes(dog) == ((3, False), (4, True))
        assert (books.versions.first_number(dog), books.versions.first_number("0" * 64)) == (1, 0)
        assert books.versions.published_at(3) == NOW
        with pytest.raises(NotFound):
            books.versions.published_at(9)


def test_only_the_changes_that_are_named_are_made(registry, changed):
    newest, (dog, cat, cow) = changed[-1], changed[-1].routes
    wrong = [
        (after(newest, [cat, cow]), (), ()),  # lost without a word
        (after(newest, [cat, cow]), (cat.merge_key,), ()),  # another one
        (after(newest, [cat, dog, cow]), (), ()),  # only the order
        (after(newest, [dog, cat, cow]), (), ()),  # nothing
        (after(newest, []), tuple(route.merge_key for route in newest.routes), ()),
        (after(newest, [dog, cat, cow]), (), (dog.merge_key,)),  # never left
        (after(newest, [dog, cat]), (cow.merge_key, "0" * 64), ()),
        (after(newest, [dog, cat, cow, replace(dog, merge_key=cat.merge_key)]), (), ()),
    ]
    for version, dropped, returned in wrong:
        with pytest.raises(RegistryConflict), registry.write() as books:
            books.versions.publish(version, NOW, dropped=dropped, returned=returned)
    with registry.read() as books:
        assert books.versions.newest() == newest


def test_a_schema_goes_down_and_up_again_while_the_net_only_grew(registry, engine):
    with registry.write() as books:
        merge = add_merge(books)
        books.versions.publish(version_of(merge), NOW)
        books.versions.record_proof(1, (), "numerics", {merge.task.key: "a" * 64})
        books.merges.add_verdict(merge.task.key, "site-a", 90.0, {}, NOW)
    downgrade_schema(engine, "0004")
    lock = registry.serving_lock()
    registry.take_over(lock)
    lock.release()
    with registry.read() as books:
        assert books.versions.get() == version_of(merge)
        assert books.versions.probe_digests("numerics") == {merge.task.key: "a" * 64}
        verdict = books.merges.verdict(merge.task.key)
    assert verdict is not None
    assert (verdict.closed, verdict.signed) == (90.0, None)


def test_a_net_that_lost_a_route_does_not_go_to_a_release_that_cannot_say_so(registry, engine, changed):
    with pytest.raises(RegistryDamaged, match="retired"):
        downgrade_schema(engine, "0004")
    with registry.read() as books:
        assert [books.versions.get(version.number) for version in changed] == changed


def test_a_signature_is_kept_with_its_certificate(registry):
    signed = SignedVerdict(b"\x00signature\xff", b"-----BEGIN CERTIFICATE-----")
    with registry.write() as books:
        key = add_merge(books).task.key
        assert books.merges.verdict(key) is None
        books.merges.add_verdict(key, "site-a", 90.0, {"floor.iou": 1.5}, NOW, signed)
        books.merges.add_verdict(key, "site-a", 10.0, {}, NOW)  # a repeated report
    with registry.read() as books:
        verdict = books.merges.verdict(key)
    assert verdict is not None
    assert (verdict.closed, verdict.figures, verdict.signed) == (90.0, {"floor.iou": 1.5}, signed)


@pytest.mark.parametrize(
    ("event", "state", "ending"),
    [
        ("GatesPassed", MergeState.REJECTED, Ending.REFUSED),
        ("VerdictReported", MergeState.REJECTED, Ending.REFUSED),
        ("TimePassed", MergeState.REJECTED, Ending.UNANSWERED),
        ("Outdone", MergeState.REJECTED, Ending.OUTDONE),
        ("PublicationRefused", MergeState.REJECTED, Ending.DAMAGED),
        ("LearningFailed", MergeState.FAILED, Ending.FAILED),
        ("CancelRequested", MergeState.CANCELLED, Ending.CANCELLED),
        ("VersionPublished", MergeState.PUBLISHED, Ending.PUBLISHED),
        ("EngineReady", MergeState.LEARNING, Ending.OPEN),
    ],
)
def test_a_merge_is_known_by_how_it_ended(registry, event, state, ending):
    with registry.write() as books:
        merge = add_merge(books)
        learning = replace(merge.status, state=MergeState.LEARNING)
        books.merges.move(merge.status, learning, "EngineReady", NOW)
        ended = replace(learning, state=state, reason="why", figures={"agreement": 51.5})
        books.merges.move(learning, ended, event, NOW)
        other = add_merge(books, "cat")
    with registry.read() as books:
        known, open_one = books.merges.known()
        assert (known.merge_key, known.ending, known.supervised) == (merge.task.key, ending, False)
        assert (open_one.merge_key, open_one.ending) == (other.task.key, Ending.OPEN)
        assert sum(each.status.ended for each in books.merges.list()) == (0 if ending is Ending.OPEN else 1)
    if known.attempt is not None:
        assert (known.attempt.reason, known.attempt.agreement) == ("why", 51.5)


def test_what_never_began_is_known_as_unfit(registry):
    with registry.write() as books:
        merge = add_merge(books)
        failed = replace(merge.status, state=MergeState.FAILED)
        books.merges.move(merge.status, failed, "LearningFailed", NOW)
    with registry.read() as books:
        assert books.merges.known()[0].ending is Ending.UNFIT


def test_a_decision_can_be_taken_again(registry):
    with registry.write() as books:
        assert books.claims.holders() == {}
        assert books.claims.decide("cat", "site-a", NOW)
        assert not books.claims.decide("cat", "site-a", NOW)
        assert books.claims.decide("cat", "site-b", NOW)
    with registry.read() as books:
        assert books.claims.holders() == {"cat": "site-b"}
        assert books.claims.amount() == 2
