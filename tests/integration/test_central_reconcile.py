"""The merge loop, round by round, on a real registry and store: foundings, publications, blobs that rot."""

from __future__ import annotations

from dataclasses import replace

from fakes.turned_center import accept
from sqlalchemy import delete, update

from central.merge.events import EngineReady, GatesPassed
from central.registry.tables import ProbeDigestRow
from central.usecases.move_merge import feed
from central.usecases.reap import ABANDONED, reap
from transplant.artifact.codec import seal
from transplant.artifact.manifest import parse_manifest
from transplant.nets.architecture_table import adapter_architecture
from transplant.nets.architectures import build
from transplant.types import MergeState, ModuleKind, Task


def test_the_founders_tasks_join_in_one_version(world):
    world.bring("dog", 1, (Task.CLASSIFICATION, Task.SEGMENTATION))
    world.rounds()
    assert (world.newest().number, len(world.newest().routes)) == (1, 2)


def test_the_founding_is_whole_even_after_a_crash_in_its_middle(world):
    world.bring("dog", 1, (Task.CLASSIFICATION, Task.SEGMENTATION))
    with world.registry.read() as books:
        first = books.merges.list()[0]
    for event in (EngineReady(), GatesPassed(world.clock.now())):  # only the first of the two gets on
        feed(world.center, first.task.key, event)
    assert [status.accepted for status in world.merges()] == [True, False]
    world.revive()
    world.rounds()
    assert (world.newest().number, len(world.newest().routes)) == (1, 2)


def test_learn_validate_publish(founded):
    founded.bring("cat", 2)
    founded.rounds(2)
    founded.engine.finish()
    founded.rounds()
    assert [status.state for status in founded.merges("cat")] == [MergeState.VALIDATING]
    accept(founded, "cat")
    founded.rounds()
    assert founded.newest().number == 2
    assert founded.loop.tick() is False  # nothing is open


def test_a_rotten_old_module_stops_the_publication(founded):
    founded.bring("cat", 2)
    founded.rounds(2)
    founded.engine.finish()
    founded.rounds()
    accept(founded, "cat")
    old = founded.newest().routes[0].category_module
    with founded.registry.read() as books:
        path = founded.center.store.path_of(books.modules.get(old).payload_sha256)
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    founded.rounds()
    assert founded.newest().number == 1
    assert not founded.merges("cat")[0].ended
    assert old[:12] in founded.merges("cat")[0].reason
    path.write_bytes(good)  # the operator puts it back
    founded.clock.advance(60)
    founded.rounds()
    assert founded.newest().number == 2


def test_a_route_that_answers_otherwise_than_recorded_is_not_published(founded):
    founded.bring("cat", 2)
    founded.rounds(2)
    founded.engine.finish()
    founded.rounds()
    with founded.registry.write() as books:
        books.session.execute(update(ProbeDigestRow).values(logits_sha256="0" * 64))
    accept(founded, "cat")
    founded.rounds()
    (status,) = founded.merges("cat")
    # The candidate has no part in it: what differs from its record is an old route, or the machine.
    assert (status.state, status.accepted) == (MergeState.VALIDATING, True)
    assert "answers otherwise than when it was published" in status.reason
    assert founded.newest().number == 1
    for _ in range(3):
        founded.clock.advance(60)
        founded.rounds()
    assert founded.merges("cat") == [status]  # said once
    assert founded.newest().number == 1
    with founded.registry.write() as books:  # the operator has found out, and mended the record
        books.session.execute(delete(ProbeDigestRow))
    founded.clock.advance(60)
    founded.rounds()
    (status,) = founded.merges("cat")
    assert (status.state, status.reason, founded.newest().number) == (MergeState.PUBLISHED, "", 2)


def test_a_center_on_another_processor_is_not_held_to_the_old_ones_bits(founded, monkeypatch):
    with founded.registry.write() as books:
        books.session.execute(update(ProbeDigestRow).values(logits_sha256="0" * 64))
    monkeypatch.setattr("central.merge.forgetting.processor", lambda: "another make of processor")
    founded.revive()
    founded.grow("cat", 2)
    assert founded.newest().number == 2


def test_a_lost_blob_of_one_newcomer_holds_up_no_other(founded):
    categories = ("cat", "cow", "hen", "emu")
    for index, category in enumerate(categories):
        founded.bring(category, 2 + index)
    while any(status.state is not MergeState.VALIDATING for c in categories for status in founded.merges(c)):
        founded.rounds(2)
        founded.engine.finish()
    for category in categories:
        accept(founded, category)
    (hen,) = founded.merges("hen")
    with founded.registry.read() as books:
        path = founded.center.store.path_of(books.modules.get(hen.adapter).payload_sha256)
    good = path.read_bytes()
    path.unlink()
    founded.clock.advance(60)
    founded.rounds()
    assert {route.category for route in founded.newest().routes} == {"dog", "cat", "cow", "emu"}
    (hen,) = founded.merges("hen")
    assert (hen.state, hen.accepted) == (MergeState.VALIDATING, True)
    assert f"the store has lost the payload of module {hen.adapter[:12]}" in hen.reason
    path.write_bytes(good)  # the operator puts it back
    founded.clock.advance(60)
    founded.rounds()
    (hen,) = founded.merges("hen")
    assert (hen.state, hen.reason) == (MergeState.PUBLISHED, "")


def test_a_candidate_that_is_not_finite_is_rejected(founded):
    founded.bring("cat", 2)
    founded.rounds(2)
    (key,) = founded.engine.orders
    founded.engine.finish()
    bench = founded.center.workshop.bench(key)
    outcome = bench.outcome()
    honest = parse_manifest(outcome.manifest)
    architecture = adapter_architecture(4, 4, 8, 3)
    huge = build(architecture, ModuleKind.ADAPTER, honest.task)
    for parameter in huge.parameters():
        parameter.data.fill_(9e5)  # each a legal number; eight layers of them are not
    swapped, payload = seal(
        huge,
        site="central",
        category="cat",
        kind=ModuleKind.ADAPTER,
        task=honest.task,
        architecture=architecture,
        parents=honest.parents,
    )
    bench.write_outcome(replace(outcome, manifest=swapped.canonical_bytes()), payload)
    founded.rounds()
    status, larger = founded.merges("cat")
    assert status.state is MergeState.REJECTED
    assert "not finite" in status.reason
    assert not larger.ended  # the next attempt


def test_reaping_takes_only_what_nobody_knows(founded):
    parts, clock = founded.center.parts, founded.clock
    parts.release("orphan", parts.take_over("orphan"))
    old_module = founded.newest().routes[0].category_module
    with founded.registry.read() as books:
        payload = books.modules.get(old_module).payload_sha256
    stray = founded.center.store.put_bytes(b"of another registry, perhaps")
    assert reap(founded.center) == 1
    assert list(parts.known()) == []
    clock.advance(ABANDONED.total_seconds() + 1)
    reap(founded.center)
    assert founded.center.store.has(payload)
    assert founded.center.store.has(stray)
