"""A refined adapter before the gates: real registry and store, the merge loop turned by hand."""

from __future__ import annotations

import shutil

import pytest
import torch
from fakes.turned_center import World, site

from central.fsck.inspect_center import inspect_center
from central.home import store_place
from central.identity.provision import admit_site
from central.net.lineage import lineage_document
from central.net.lineage_tables import lineage_tables
from central.usecases import propose_refined as propose_module
from central.usecases.change_net import retire_routes
from central.usecases.propose_refined import (
    propose_refined,
    published_adapter,
    refinable_route,
    refined_adapter,
)
from central.usecases.read_merges import fetch_candidates
from central.usecases.report_verdict import report_verdict
from transplant.errors import MergeNotPossible, NotFound, PayloadMalformed
from transplant.types import MergeState, Task, Verdict

CLASSIFY = Task.CLASSIFICATION
RECORD = {
    "strategy": "fedavg",
    "rounds": 2,
    "sites": ["site-cat"],
    "labels": 0.0,
    "privacy": None,
    "seed": 1,
    "settings": {"steps": 3},
}


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """Make the home of a net of two categories once; every test works on a copy."""
    home = tmp_path_factory.mktemp("grown") / "home"
    world = World(home)
    world.admit("dog", "cat")
    with world.registry.write() as books:
        admit_site(books, world.clock, "site-other", ("cat",))
    world.grow("dog", 1)
    world.grow("cat", 2)
    world.registry.close()
    return home


@pytest.fixture
def world(grown, tmp_path, request):
    world = World(shutil.copytree(grown, tmp_path / "home"), **getattr(request, "param", {}))
    yield world
    world.registry.close()


@pytest.fixture
def agreed(monkeypatch):
    """Spare the pictures that an agreement is measured on; the first test makes them."""
    monkeypatch.setattr(
        propose_module, "agreement_with_teacher", lambda _order, _adapter: {"agreement": 80.0}
    )


def propose(world: World, step: float = 0.01) -> str:
    refinable = refinable_route(world.center, "cat", CLASSIFY)
    names = dict(published_adapter(world.center, refinable).named_parameters())
    delta = {name: torch.full_like(each, step, requires_grad=False) for name, each in names.items()}
    adapter = refined_adapter(world.center, refinable, delta)
    return propose_refined(
        world.center, store_place(world.settings), refinable, adapter, RECORD, {"rounds": 2.0, "sites": 1.0}
    )


def judge(world: World, error: float) -> None:
    for key, _ in fetch_candidates(world.center, site("cat")):
        verdict = Verdict(key, {"error": 5.0}, {"error": error}, {"error": 50.0}, 9)
        report_verdict(world.center, site("cat"), verdict)


def status_of(world: World, key: str):
    with world.registry.read() as books:
        return books.merges.get(key).status


def cat(world: World):
    return next(route for route in world.newest().routes if route.category == "cat")


def test_a_better_one_takes_the_place_and_nothing_else_moves(world):
    before, others = cat(world), [r for r in world.newest().routes if r.category != "cat"]
    assert refinable_route(world.center, "cat", CLASSIFY).sites == ("site-cat", "site-other")
    key = propose(world)
    assert status_of(world, key).state is MergeState.CANDIDATE
    assert 0 <= status_of(world, key).figures["agreement"] <= 100
    world.rounds(2)
    assert status_of(world, key).state is MergeState.VALIDATING
    judge(world, 5.0)
    world.rounds(2)
    after = cat(world)
    assert (status_of(world, key).state, after.merge_key) == (MergeState.PUBLISHED, key)
    assert (after.category_module, after.task_module) == (before.category_module, before.task_module)
    assert after.adapter != before.adapter
    assert [route for route in world.newest().routes if route.category != "cat"] == others
    with world.registry.read() as books:
        proof = books.versions.proof(world.newest().number)
        document = lineage_document(books, "cat", CLASSIFY, 0)
    assert all(each.before_sha256 == each.after_sha256 for each in proof)
    assert {each.subject for each in proof} > {"route dog/classification"}
    told = document["merge"]["refinement"]
    assert (told["of"], told["sites"], told["labels"]) == (before.merge_key, ["site-cat"], 0.0)
    assert any("no label" in str(each) for each in lineage_tables(document))
    told |= {"labels": None, "settings": {"labels": 20}}  # under noise their number is not told
    assert any("at most 20 labels a site" in str(each) for each in lineage_tables(document))
    found = inspect_center(world.settings).findings
    assert {each.kind for each in found if each.is_damage} <= {
        "module-event",
        "module-site-missing",
        "module-verdict",
    }  # fmt: skip - nothing came over a network here


@pytest.mark.usefixtures("agreed")
def test_the_owners_verdict_keeps_the_better_one(world):
    before = cat(world)
    key = propose(world)
    world.rounds(2)
    judge(world, 6.0)  # the published one was measured at 5.0
    world.rounds(2)
    ended = status_of(world, key)
    assert ended.state is MergeState.REJECTED
    assert "that one stays" in ended.reason
    assert cat(world) == before
    again = propose(world, step=0.02)
    world.rounds(2)
    judge(world, 5.0)
    world.rounds(2)
    assert cat(world).merge_key == again


@pytest.mark.parametrize(
    "world", [{"after_deadline": "publish", "validation_deadline_s": 60.0}], indirect=True
)
@pytest.mark.usefixtures("agreed")
def test_without_a_verdict_the_published_one_stays_even_where_others_are_published_so(world):
    key = propose(world)
    world.rounds(2)
    world.clock.advance(61)
    world.rounds(2)
    assert status_of(world, key).state is MergeState.REJECTED
    assert cat(world).merge_key != key


@pytest.mark.usefixtures("agreed")
def test_a_refinement_of_a_refinement_and_one_that_comes_too_late(world):
    first = propose(world)
    with pytest.raises(MergeNotPossible, match="not decided yet"):
        refinable_route(world.center, "cat", CLASSIFY)
    world.rounds(2)
    judge(world, 4.0)
    world.rounds(2)
    assert cat(world).merge_key == first
    second = propose(world)
    world.rounds(2)
    retire_routes(world.center, "cat")
    judge(world, 3.0)
    world.rounds(2)
    ended = status_of(world, second)
    assert ended.state is MergeState.REJECTED
    assert "not in the net any more" in ended.reason
    assert [route.category for route in world.newest().routes] == ["dog"]


def test_what_cannot_be_refined_is_refused_with_the_reason(world):
    with pytest.raises(MergeNotPossible, match="no adapter"):
        refinable_route(world.center, "dog", CLASSIFY)
    with pytest.raises(NotFound, match="nothing to refine"):
        refinable_route(world.center, "cow", CLASSIFY)
    with pytest.raises(PayloadMalformed):
        refined_adapter(world.center, refinable_route(world.center, "cat", CLASSIFY), {"x": torch.zeros(1)})


@pytest.mark.usefixtures("agreed")
def test_a_newer_teacher_of_the_site_still_takes_the_place_of_a_refined_route(world):
    key = propose(world)
    world.rounds(2)
    judge(world, 4.0)
    world.rounds(2)
    assert cat(world).merge_key == key
    world.grow("cat", 3)
    assert cat(world).merge_key != key
