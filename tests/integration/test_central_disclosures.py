"""Statistics and answers come in and reach the learner: real gRPC, mTLS, SQLite and files, no g_T."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
import torch
from fakes.disclosures import answers_of, net, request_of, resealed, statistics_of, tensors_of
from fakes.real_center import BOTH, real_center

from central.registry.registry import Registry
from central.report import status_document, status_tables
from transplant.artifact.codec import load_module, write_artifact
from transplant.artifact.disclosed import seal_answers, seal_statistics
from transplant.datafree.probe import answer_probe
from transplant.errors import (
    ManifestInvalid,
    MergeNotPossible,
    NotAllowed,
    NotFound,
    PayloadMalformed,
    RegistryConflict,
    SeamMismatch,
    TensorNotFinite,
    TooLarge,
)
from transplant.nets.learning import LearnedAdapter, new_adapter
from transplant.types import MergeState, ModuleKind, Role, Task

PROBE = {"probe_pool": 128, "probe_count": 32, "probe_grid": 4}
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


def wait(condition, timeout_s=20.0):
    deadline, pause = time.monotonic() + timeout_s, threading.Event()
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        pause.wait(0.02)
    raise AssertionError("the condition did not come true")


def ship(center, client, sealed):
    """Push one artifact as a site does, and return its manifest."""
    manifest, payload = sealed
    path = write_artifact(center.home / "outbox", manifest, payload)
    declared = client.declare(manifest)
    if not declared.registered:
        client.upload(declared.upload_id, path)
        client.commit(declared.upload_id, manifest.payload_sha256)
    return manifest


def answered(center, client, teacher):
    """Answer every request about a teacher, as its site does; g_T stays in this process."""
    f = load_module(teacher.f, teacher.paths[teacher.f.module_id])
    sealed = {}
    for asked in client.list_probe_requests(teacher.f.category):
        g = teacher.g[asked.request.task]
        task_module = load_module(g, teacher.paths[g.module_id])
        answers = answer_probe(asked.request, f, task_module)
        sealed[asked.request.task] = ship(center, client, seal_answers(answers, teacher.f))
    return sealed


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


def test_answers_that_nobody_asked_for_are_refused_before_a_byte_is_taken(center):
    cat, cow = center.teacher("cat", seed=1), center.teacher("cow", seed=3)
    center.push(cat, cat.f)
    client = center.client("site-cat")
    own = {"pool": 128, "count": 32, "image_px": 32}
    unasked = answers_of(cat.f.architecture.to_type(), replace(request_of(), **own))
    with pytest.raises(ManifestInvalid, match="nobody asked"):
        client.declare(seal_answers(unasked, cat.f)[0])
    (asked, _) = client.list_probe_requests("cat")
    architecture = cat.f.architecture.to_type()
    for changes in ({"seed": asked.request.seed ^ 1}, {"count": 31}, {"pool": 129}, {"drawings_percent": 49}):
        other = answers_of(architecture, replace(asked.request, **changes))
        with pytest.raises(ManifestInvalid, match="these answers are to"):
            client.declare(seal_answers(other, cat.f)[0])
    good = answers_of(architecture, asked.request)
    with pytest.raises(NotFound, match="push it first"):
        client.declare(seal_answers(good, center.teacher("cat", seed=9).f)[0])
    center.push(cow, cow.f)
    foreign = seal_answers(good, cow.f)[0].model_copy(update={"site": "site-cat", "category": "cat"})
    with pytest.raises(ManifestInvalid, match="not a category module of this site"):
        client.declare(foreign)
    with pytest.raises(NotAllowed):
        client.declare(seal_answers(good, cow.f)[0])
    assert {m.kind for m in client.list_modules()} == {ModuleKind.CATEGORY}


def test_hostile_bytes_are_refused_at_the_commit_and_nothing_stays(center):
    cat = center.teacher("cat", seed=1)
    center.push(cat, cat.f)
    client = center.client("site-cat")
    (asked, _) = client.list_probe_requests("cat")
    architecture = cat.f.architecture.to_type()
    answers = seal_answers(answers_of(architecture, asked.request), cat.f)
    statistics = seal_statistics(statistics_of(net(architecture, ModuleKind.CATEGORY)), cat.f)
    covariance = tensors_of(statistics)["0.covariance"]
    hostile = (
        (answers, {"chosen": tensors_of(answers)["chosen"].flip(0)}, PayloadMalformed),
        (answers, {"range": torch.tensor([0.0, float("nan")])}, TensorNotFinite),
        (statistics, {"0.covariance": -covariance}, PayloadMalformed),
        (statistics, {"1.mean": torch.full((4,), float("nan"))}, TensorNotFinite),
    )
    for origin, changes, error in hostile:
        manifest, payload = resealed(origin, changes)
        with pytest.raises(error):
            ship(center, client, (manifest, payload))
        with pytest.raises(NotFound):
            client.upload_status(manifest.module_id)
        assert not center.serving._center.store.has(manifest.payload_sha256)
    assert {m.kind for m in client.list_modules()} == {ModuleKind.CATEGORY}


def test_other_answers_need_another_category_module(center):
    cat = center.teacher("cat", seed=1)
    center.push(cat, cat.f)
    client = center.client("site-cat")
    (asked, _) = client.list_probe_requests("cat")
    ids = []
    for seed in (0, 5):
        answers = answers_of(cat.f.architecture.to_type(), asked.request, seed)
        ids.append(ship(center, client, seal_answers(answers, cat.f)).module_id)
    client.request_merge(cat.f.module_id, [], answers=ids[:1])
    with pytest.raises(RegistryConflict, match="other classification answers"):
        client.request_merge(cat.f.module_id, [], answers=ids[1:])


def test_statistics_of_another_seam_or_site_are_refused(center):
    cat, cow = center.teacher("cat", seed=1), center.teacher("cow", seed=3)
    center.push(cat, cat.f)
    center.push(cow, cow.f)
    client = center.client("site-cat")
    statistics = statistics_of(net(cat.f.architecture.to_type(), ModuleKind.CATEGORY))
    manifest, _ = seal_statistics(statistics, cow.f)
    with pytest.raises(ManifestInvalid, match="not a category module of this site"):
        client.declare(manifest.model_copy(update={"site": "site-cat", "category": "cat"}))
    wide = cat.f.model_copy(update={"seam": cat.f.seam.model_copy(update={"height": 8})})
    other = seal_statistics(statistics, wide)[0].model_copy(update={"parents": (cat.f.module_id,)})
    with pytest.raises(SeamMismatch, match="4x8x16"):
        client.declare(other)


def test_who_founds_the_net_ships_its_modules(tmp_path):
    with real_center(tmp_path, founder="cat", **PROBE) as center:
        cat = center.teacher("cat", seed=1)
        center.push(cat, cat.f)
        with pytest.raises(MergeNotPossible, match=r"founder must ship .* modules at site site-cat"):
            center.client("site-cat").list_probe_requests("cat")


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


def test_a_request_names_what_belongs_together(center):
    cat, cow = center.teacher("cat", seed=1), center.teacher("cow", seed=3)
    center.push(cat, cat.f)
    client = center.client("site-cat")
    answers = answered(center, client, cat)
    f = load_module(cat.f, cat.paths[cat.f.module_id])
    told = ship(center, client, seal_statistics(statistics_of(f), cat.f))
    center.push(cat)
    center.push(cow)
    g, a = cat.g[SEGMENTATION].module_id, answers[SEGMENTATION].module_id
    with pytest.raises(MergeNotPossible, match="two segmentation"):
        client.request_merge(cat.f.module_id, [g], answers=[a])
    with pytest.raises(MergeNotPossible, match="are no statistics"):
        client.request_merge(cat.f.module_id, [g], statistics=a)
    with pytest.raises(MergeNotPossible, match="is not a task module"):
        client.request_merge(cat.f.module_id, [told.module_id])
    with pytest.raises(NotFound):
        client.request_merge(cat.f.module_id, [g], statistics=cow.f.module_id)
    with pytest.raises(MergeNotPossible, match="1 to 16"):
        client.request_merge(cat.f.module_id, [], statistics=told.module_id)


def test_a_payload_limit_holds_for_answers_too(tmp_path):
    with real_center(tmp_path, payload_limit_bytes=600, **PROBE) as center:
        f = center.teacher("cat", seed=1).f
        asked = replace(request_of(), pool=128, count=128)
        with pytest.raises(TooLarge):
            center.client("site-cat").declare(seal_answers(answers_of(f.architecture.to_type(), asked), f)[0])
