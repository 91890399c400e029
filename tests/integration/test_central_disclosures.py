"""Statistics and answers come in and reach the learner: real gRPC, mTLS, SQLite and files, no g_T."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.disclosing_site import PROBE, answered, ship
from fakes.disclosures import statistics_of
from fakes.real_center import BOTH, real_center
from fakes.waiting import wait

from central.registry.registry import Registry
from central.report import status_document, status_tables
from transplant.artifact.codec import load_module
from transplant.artifact.disclosed import seal_statistics
from transplant.errors import (
    NotAllowed,
    NotFound,
)
from transplant.nets.learning import LearnedAdapter, new_adapter
from transplant.types import MergeState, ModuleKind, Role, Task

SEGMENTATION, CLASSIFICATION = Task.SEGMENTATION, Task.CLASSIFICATION


class Learner:
    """Stands for the learners: keeps what it was given and hands a transparent adapter back."""

    def __init__(self) -> None:
        self.problems = []

    def __call__(self, problem, config, **_):
        self.problems.append(problem)
        adapter, architecture = new_adapter(problem, config, 1.0)
        return LearnedAdapter(adapter, architecture, {"agreement": 100.0})


@pytest.fixture
def learner(monkeypatch):
    made = Learner()
    monkeypatch.setattr("central.merge.execute.learn_route", made)
    return made


@pytest.fixture
def center(tmp_path):
    with real_center(tmp_path / "center", **PROBE) as running:
        yield running


def founded(center):
    center.bring("dog", seed=2)
    wait(lambda: center.client("site-dog").list_versions())


def settled(client, category):
    def done():
        merges = client.list_merges(category)
        return merges if merges and all(merge.state is MergeState.VALIDATING for merge in merges) else None

    return wait(done)


def status(center):
    registry = Registry(center.settings.url)
    with registry.read() as books:
        document = status_document(books, center.home, serving=False)
    registry.close()
    return document


def test_a_teacher_is_complete_without_its_task_modules(center, learner):
    founded(center)
    cat = center.teacher("cat", seed=1)
    center.push(cat, cat.f)
    client = center.client("site-cat")
    asked = client.list_probe_requests("cat")
    assert client.list_probe_requests("cat") == asked
    assert {each.request.task for each in asked} == set(BOTH)
    assert {each.category_module for each in asked} == {cat.f.module_id}
    assert {each.request.grid for each in asked} == {1, 4}
    assert len({each.request.seed for each in asked}) == 1
    answers = answered(center, client, cat)
    ids = [manifest.module_id for manifest in answers.values()]
    _, merges = client.request_merge(cat.f.module_id, [], answers=ids)
    assert {merge.task for merge in merges} == set(BOTH)
    settled(client, "cat")
    assert len(learner.problems) == 2
    for problem in learner.problems:
        assert problem.teacher_task_module is None
        assert problem.answers.request.task is problem.task
        assert problem.answers.codes.shape[0] == 32
        assert problem.statistics is None
    kinds = {module.kind for module in client.list_modules("cat")}
    assert ModuleKind.TASK not in kinds
    operator = center.client("ann", Role.OPERATOR)
    adapters = [each for each in operator.list_modules("cat") if each.kind is ModuleKind.ADAPTER]
    lineage = operator.get_manifest(adapters[0].module_id).parents
    assert cat.f.module_id in lineage
    assert set(ids) & set(lineage)


def test_statistics_reach_the_learner_and_are_part_of_the_key(center, learner):
    founded(center)
    client = center.client("site-cat")
    cat = center.teacher("cat", seed=1)
    center.push(cat)
    f = load_module(cat.f, cat.paths[cat.f.module_id])
    told = ship(center, client, seal_statistics(statistics_of(f), cat.f))
    tasks = [g.module_id for g in cat.g.values()]
    _, merges = client.request_merge(cat.f.module_id, tasks, statistics=told.module_id)
    settled(client, "cat")
    assert [len(problem.statistics.classes) for problem in learner.problems] == [2, 2]
    assert all(problem.teacher_task_module is not None for problem in learner.problems)
    registry = Registry(center.settings.url)
    with registry.read() as books:
        task = books.merges.get(merges[0].merge_key).task
    registry.close()
    assert task.statistics == told.module_id
    assert replace(task, statistics=None).key != task.key
    stranger = center.client("site-cow")
    assert told.module_id not in {module.module_id for module in stranger.list_modules()}
    with pytest.raises(NotFound):
        stranger.get_manifest(told.module_id)


def test_a_restart_with_other_settings_keeps_what_was_asked(tmp_path):
    with real_center(tmp_path, **PROBE) as center:
        cat = center.teacher("cat", seed=1)
        center.push(cat, cat.f)
        asked = center.client("site-cat").list_probe_requests("cat")
    with real_center(tmp_path, **PROBE | {"probe_pool": 256}) as center:
        client = center.client("site-cat")
        assert client.list_probe_requests("cat") == asked
        cat = center.teacher("cat", seed=1)
        assert set(answered(center, client, cat)) == set(BOTH)


def test_without_a_founder_the_operator_reads_what_is_waited_for(center, learner):
    cat = center.teacher("cat", seed=1)
    center.push(cat, cat.f)
    client = center.client("site-cat")
    ids = [manifest.module_id for manifest in answered(center, client, cat).values()]
    assert client.request_merge(cat.f.module_id, [], answers=ids)[1] == []
    (first, _) = status(center)["tasks_waiting"]
    assert (first["site"], first["category"]) == ("site-cat", "cat")
    assert "no founder yet" in first["reason"]
    assert any("ships outputs only" in str(line) for line in status_tables(status(center)))
    center.bring("dog", seed=2, tasks=(CLASSIFICATION,))  # the later teacher founds, for one task
    wait(lambda: len(learner.problems) == 1)
    (left,) = status(center)["tasks_waiting"]
    assert (left["task"], "no segmentation module yet" in left["reason"]) == ("segmentation", True)
    center.push(cat)  # the site changes its mind and ships the module after all
    client.request_merge(cat.f.module_id, [cat.g[SEGMENTATION].module_id])
    assert status(center)["tasks_waiting"] == []
    wait(lambda: any(route.task is SEGMENTATION for route in client.get_version().routes))


def test_nothing_is_asked_where_the_modules_came_or_nothing_is_known(center):
    cat = center.teacher("cat", seed=1)
    client = center.client("site-cat")
    assert client.list_probe_requests("cat") == []
    center.push(cat)
    assert client.list_probe_requests("cat") == []
    with pytest.raises(NotAllowed, match="may not bring the category dog"):
        client.list_probe_requests("dog")
    for role in (Role.READER, Role.OPERATOR):
        with pytest.raises(NotAllowed, match="has no right"):
            center.client("ann", role).list_probe_requests("cat")
