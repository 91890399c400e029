"""Statistics and answers that nobody asked for, that are hostile or that do not belong together: refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes.disclosing_site import PROBE, answered, ship
from fakes.disclosures import answers_of, net, request_of, resealed, statistics_of, tensors_of
from fakes.real_center import real_center
from fakes.waiting import wait

from transplant.artifact.codec import load_module
from transplant.artifact.disclosed import seal_answers, seal_statistics
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
from transplant.rpc.messages import UploadPhase
from transplant.types import ModuleKind, Task


@pytest.fixture
def center(tmp_path):
    with real_center(tmp_path / "center", **PROBE) as running:
        yield running


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


def test_hostile_bytes_are_rejected_and_nothing_of_them_stays(center):
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
        told = client.upload_status(manifest.module_id)
        assert (told.phase, told.error) == (UploadPhase.REJECTED, error.code())
        wait(lambda sha256=manifest.payload_sha256: not center.serving._center.store.has(sha256))
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


def test_a_request_names_what_belongs_together(center):
    cat, cow = center.teacher("cat", seed=1), center.teacher("cow", seed=3)
    center.push(cat, cat.f)
    client = center.client("site-cat")
    answers = answered(center, client, cat)
    f = load_module(cat.f, cat.paths[cat.f.module_id])
    told = ship(center, client, seal_statistics(statistics_of(f), cat.f))
    center.push(cat)
    center.push(cow)
    g, a = cat.g[Task.SEGMENTATION].module_id, answers[Task.SEGMENTATION].module_id
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
