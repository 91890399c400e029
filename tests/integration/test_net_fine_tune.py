"""A task module is fine-tuned on two categories: a new module, candidates of their own, nothing in place."""

from __future__ import annotations

import shutil

import pytest
from fakes.turned_center import World, site

from central.fsck.inspect_center import inspect_center
from central.home import store_place
from central.net.lineage import lineage_document
from central.net.lineage_tables import lineage_tables
from central.usecases import fine_tune as fine_tuning
from central.usecases.fine_tune import fine_tune
from central.usecases.read_merges import fetch_candidates
from central.usecases.report_verdict import report_verdict
from transplant.artifact.manifest import parse_manifest
from transplant.errors import MergeCancelled, MergeNotPossible, NotFound
from transplant.types import MergeState, Task, Verdict

CLASSIFY = Task.CLASSIFICATION


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    home = tmp_path_factory.mktemp("grown") / "home"
    world = World(home)
    world.admit("dog", "cat", "sea-cow")
    for seed, category in enumerate(("dog", "cat", "sea-cow"), start=1):
        world.grow(category, seed)
    world.registry.close()
    return home


@pytest.fixture
def world(grown, tmp_path):
    world = World(shutil.copytree(grown, tmp_path / "home"))
    yield world
    world.registry.close()


def tuned(world: World, *categories: str, **options):
    return fine_tune(world.center, store_place(world.settings), CLASSIFY, categories, steps=6, **options)


def judge(world: World, category: str, error: float) -> None:
    for key, _ in fetch_candidates(world.center, site(category)):
        verdict = Verdict(key, {"error": 5.0}, {"error": error}, {"error": 50.0}, 9)
        report_verdict(world.center, site(category), verdict)


def routes(world: World):
    return {route.category: route for route in world.newest().routes}


@pytest.fixture
def all_gain(monkeypatch):
    """Six steps between nets of random weights promise nothing: let every category have a candidate."""
    monkeypatch.setattr(fine_tuning, "_gains", lambda _tuned, _category: True)


@pytest.mark.usefixtures("all_gain")
def test_each_category_decides_for_itself(world):
    before = routes(world)
    result = tuned(world)
    assert set(result.candidates) == {"cat", "sea-cow"}
    assert routes(world) == before, "nothing is published by fine-tuning"
    world.rounds(2)
    judge(world, "cat", 5.0)
    judge(world, "sea-cow", 6.0)  # its published route was measured at 5.0
    world.rounds(3)
    after = routes(world)
    assert after["dog"] == before["dog"]
    assert after["sea-cow"] == before["sea-cow"]
    assert after["cat"].task_module == result.task_module != before["cat"].task_module
    assert after["cat"].adapter == before["cat"].adapter
    assert after["cat"].category_module == before["cat"].category_module
    with world.registry.read() as books:
        states = {name: books.merges.get(key).status.state for name, key in result.candidates.items()}
        manifest = parse_manifest(books.modules.get(result.task_module).manifest)
        document = lineage_document(books, "cat", CLASSIFY, 0)
    assert states == {"cat": MergeState.PUBLISHED, "sea-cow": MergeState.REJECTED}
    assert before["cat"].task_module in manifest.parents
    assert manifest.site == "central"
    assert any("fine-tuned from" in str(each) for each in lineage_tables(document))
    found = inspect_center(world.settings).findings
    assert {each.kind for each in found if each.is_damage} <= {
        "module-event",
        "module-site-missing",
        "module-verdict",
    }  # fmt: skip - nothing came over a network here
    world.grow("cat", 9)  # a newer teacher finds two task modules to be led into
    assert routes(world)["cat"].category_module != before["cat"].category_module


@pytest.mark.usefixtures("all_gain")
def test_fine_tuning_twice_gives_the_same_candidates(world):
    first = tuned(world)
    with world.registry.read() as books:
        count = len(books.merges.list())
    with pytest.raises(MergeNotPossible, match="not decided yet"):
        tuned(world)
    for key in first.candidates.values():
        with world.registry.read() as books:
            assert books.merges.get(key).status.state is MergeState.CANDIDATE
    with world.registry.read() as books:
        assert len(books.merges.list()) == count


def test_what_gains_nothing_leaves_nothing(world, monkeypatch):
    monkeypatch.setattr(fine_tuning, "_gains", lambda _tuned, _category: False)
    with world.registry.read() as books:
        before = len(books.merges.list()), len(list(books.audit.entries()))
    with pytest.raises(MergeNotPossible, match="no category agrees better"):
        tuned(world)
    with world.registry.read() as books:
        assert (len(books.merges.list()), len(list(books.audit.entries()))) == before


def test_bad_wishes_are_told(world):
    with pytest.raises(NotFound, match="no route ant/classification"):
        tuned(world, "ant", "cat")
    with pytest.raises(MergeNotPossible, match="two categories or more"):
        tuned(world, "cat")
    with pytest.raises(MergeNotPossible, match="no adapter"):
        tuned(world, "dog", "cat")
    with pytest.raises(MergeCancelled, match="step 0 of 6"):
        tuned(world, stopped=lambda: True)
