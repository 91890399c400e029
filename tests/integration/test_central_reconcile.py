"""The merge loop, round by round, on a real registry and store: engines that fail, blobs that rot."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.artifacts import TINY, sealed
from fakes.clock import FakeClock
from fakes.engine import FakeEngine
from sqlalchemy import update

from central.compose import compose_center
from central.home import open_registry, store_root
from central.merge.reconcile import Reconciler
from central.merge.state import outstanding
from central.registry.tables import ProbeDigestRow
from central.settings import read_settings
from central.usecases.cancel_merge import cancel_merge
from central.usecases.read_merges import fetch_candidates
from central.usecases.reap import ABANDONED, reap
from central.usecases.report_verdict import report_verdict
from central.usecases.request_merge import request_merge
from transplant.artifact.codec import seal
from transplant.artifact.manifest import parse_manifest
from transplant.errors import MergeEngineUnavailable, UnexpectedFailure
from transplant.nets.architecture_table import adapter_architecture
from transplant.nets.architectures import build
from transplant.types import Identity, MergeState, ModuleKind, Role, Task, Verdict

SETTINGS = {"steps": 2, "synthetic_images": 64, "minimum_agreement": 0.0, "founder": "dog", "attempts": 2}


class World:
    """A center without network, whose loop the test turns by hand."""

    def __init__(self, home, **overrides) -> None:
        self.home = home
        self.clock = FakeClock()
        self.engine = FakeEngine()
        self.settings = read_settings({"home": home, **SETTINGS, **overrides})
        self.registry = open_registry(self.settings)
        self.revive()

    def revive(self) -> None:
        """A center that was killed: everything anew but the disk, the clock and the engine."""
        self.center = replace(compose_center(self.settings, self.registry), clock=self.clock)
        self.loop = Reconciler(self.center, self.engine, store_root(self.home))

    def register(self, kind, task, seed, category, parents=()):
        manifest, payload = sealed(kind, task, TINY, seed, parents, f"site-{category}", category)
        self.center.store.put_bytes(payload)
        with self.registry.write() as books:
            books.modules.add(manifest, self.clock.now())
        return manifest.module_id

    def bring(self, category, seed, tasks=(Task.CLASSIFICATION,)):
        f = self.register(ModuleKind.CATEGORY, None, seed, category)
        gs = [self.register(ModuleKind.TASK, task, seed + 50, category, (f,)) for task in tasks]
        return request_merge(self.center, site(category), f, gs)[1]

    def rounds(self, count=6) -> None:
        for _ in range(count):
            self.loop.tick()

    def merges(self, category=""):
        with self.registry.read() as books:
            return [merge.status for merge in books.merges.list(category)]

    def newest(self):
        with self.registry.read() as books:
            return books.versions.newest()


def site(category: str) -> Identity:
    return Identity(Role.SITE, f"site-{category}")


def accept(world, category) -> None:
    for key, _ in fetch_candidates(world.center, site(category)):
        good = {"error": 5.0, "iou": 90.0}
        report_verdict(world.center, site(category), Verdict(key, good, good, {"error": 50.0, "iou": 0.0}, 9))


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.registry.close()


@pytest.fixture
def founded(world):
    world.bring("dog", 1)
    world.rounds()
    assert world.newest().number == 1
    return world


def test_the_founders_tasks_join_in_one_version(world):
    world.bring("dog", 1, (Task.CLASSIFICATION, Task.SEGMENTATION))
    world.rounds()
    assert (world.newest().number, len(world.newest().routes)) == (1, 2)


def test_the_founding_is_whole_even_after_a_crash_in_its_middle(world):
    world.bring("dog", 1, (Task.CLASSIFICATION, Task.SEGMENTATION))
    with world.registry.read() as books:
        first = books.merges.list()[0]
    for _ in range(2):  # only the first of the two gets on
        with world.registry.read() as books:
            first = books.merges.get(first.task.key)
        for command in outstanding(first.status):
            world.loop._obey(command, first, (first,))
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


def test_a_missing_engine_leaves_the_merge_planned_and_says_why(founded):
    founded.engine.missing = "Ray is not available: nobody answers at 10.0.0.1"
    founded.bring("cat", 2)
    founded.rounds()
    (status,) = founded.merges("cat")
    assert (status.state, status.reason) == (MergeState.PLANNED, founded.engine.missing)
    with founded.registry.read() as books:
        steps = len(books.merges.transitions(status.merge_key))
    founded.rounds()
    with founded.registry.read() as books:
        assert len(books.merges.transitions(status.merge_key)) == steps  # said once
    founded.engine.missing = ""
    founded.rounds(1)
    assert founded.merges("cat")[0].state is MergeState.LEARNING


def test_an_engine_that_vanishes_costs_no_attempt(founded):
    founded.bring("cat", 2)
    founded.rounds(2)
    founded.engine.vanish()
    founded.rounds(2)
    (status,) = founded.merges("cat")
    assert (status.state, status.attempts) == (MergeState.PLANNED, 0)
    founded.engine.missing = ""
    founded.rounds(2)
    founded.engine.finish()
    founded.rounds()
    assert founded.merges("cat")[0].state is MergeState.VALIDATING


def test_dead_workers_are_replaced_until_the_policy_gives_up(founded):
    (summary,) = founded.bring("cat", 2)
    for attempt in (1, 2):
        founded.rounds(2)
        assert founded.engine.submitted == [summary.merge_key] * attempt
        founded.engine.kill_workers()
    founded.rounds()
    (status,) = founded.merges("cat")
    assert (status.state, status.attempts) == (MergeState.FAILED, 2)
    assert "out of memory" in status.reason
    founded.bring("cat", 2)  # the site asks again
    assert founded.merges("cat")[0].state is MergeState.PLANNED


def test_no_more_workers_than_the_engine_has_room_for(founded):
    founded.engine.capacity = 1
    for index, category in enumerate(("cat", "cow", "hen")):
        founded.bring(category, 10 + index)
    founded.rounds()
    assert len(founded.engine.orders) == 1
    founded.engine.finish()
    founded.rounds()
    assert len(founded.engine.orders) == 1
    assert len(set(founded.engine.submitted)) == 2


def test_a_killed_center_hands_the_merge_out_again(founded):
    founded.bring("cat", 2)
    founded.rounds(2)
    (order,) = founded.engine.orders.values()
    founded.engine.close()  # the workers went with it
    founded.revive()
    founded.rounds(1)
    assert list(founded.engine.orders.values()) == [order]


def test_a_result_that_a_killed_center_never_collected_is_used(founded):
    founded.bring("cat", 2)
    founded.rounds(2)
    founded.engine.finish()
    founded.engine.endings.clear()  # nobody was there to hear it
    founded.revive()
    founded.rounds(1)
    bench = founded.center.workshop.bench(founded.engine.submitted[0])
    learned = bench.adapter.read_bytes()
    founded.engine.finish()  # finds the outcome and learns nothing
    assert bench.adapter.read_bytes() == learned
    founded.rounds()
    assert founded.merges("cat")[0].state is MergeState.VALIDATING


def test_a_cancelled_merges_worker_is_stopped(founded):
    (summary,) = founded.bring("cat", 2)
    founded.rounds(2)
    cancel_merge(founded.center, site("cat"), summary.merge_key)
    founded.rounds(1)
    assert founded.center.workshop.bench(summary.merge_key).stopped()
    founded.engine.finish()
    founded.rounds(2)
    assert founded.merges("cat")[0].state is MergeState.CANCELLED
    assert not founded.engine.running()


def test_a_bug_in_a_worker_fails_the_merge_with_its_words(founded, monkeypatch):
    def broken(*_args, **_kwargs):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("central.merge.execute.learn_route", broken)
    founded.bring("cat", 2)
    founded.rounds(2)
    founded.engine.finish()
    founded.rounds(2)
    (status,) = founded.merges("cat")
    assert status.state is MergeState.FAILED
    assert status.reason == f"{UnexpectedFailure.code()}: ZeroDivisionError: by zero"


def test_a_passing_trouble_of_a_worker_is_tried_again_later(founded, monkeypatch):
    def away(*_args, **_kwargs):
        raise MergeEngineUnavailable("the shared volume is away")

    with monkeypatch.context() as broken:
        broken.setattr("central.merge.execute.learn_route", away)
        founded.bring("cat", 2)
        founded.rounds(2)
        founded.engine.finish()
        founded.rounds(3)
    assert founded.merges("cat")[0].state is MergeState.PLANNED
    assert not founded.engine.orders  # not at once
    founded.clock.advance(60)
    founded.rounds(2)
    founded.engine.finish()
    founded.rounds()
    assert founded.merges("cat")[0].state is MergeState.VALIDATING


def test_a_damaged_checkpoint_starts_the_merge_anew(founded):
    (summary,) = founded.bring("cat", 2)
    founded.rounds(2)
    founded.center.workshop.bench(summary.merge_key).save_checkpoint(b"half a checkpoint")
    founded.engine.finish()
    founded.rounds()
    assert founded.merges("cat")[0].state is MergeState.VALIDATING


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
    assert status.state is MergeState.REJECTED
    assert "answers otherwise than when it was published" in status.reason
    assert founded.newest().number == 1


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
    (status,) = founded.merges("cat")
    assert status.state is MergeState.REJECTED
    assert "not finite" in status.reason


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
