"""The net grows: real gRPC, real SQLite, merge tasks in the center's own threads."""

from __future__ import annotations

import pytest
from fakes.artifacts import TINY, sealed
from fakes.real_center import BOTH, real_center
from fakes.waiting import wait

from central.registry.registry import Registry
from transplant.artifact.codec import write_artifact
from transplant.artifact.digest import sha256_file
from transplant.artifact.net_document import net_digest
from transplant.errors import MergeNotPossible, NotAllowed, NotFound, RegistryConflict
from transplant.types import MergeState, ModuleKind, Role, Task, Verdict

ENDED = {MergeState.PUBLISHED, MergeState.REJECTED, MergeState.CANCELLED, MergeState.FAILED}


def verdict(key: str, transplanted: float) -> Verdict:
    teacher = {"error": 10.0, "iou": 80.0}
    measured = {"error": 100.0 - transplanted, "iou": transplanted}
    return Verdict(key, teacher, measured, {"error": 50.0, "iou": 0.0}, 12)


def settle(client, category, transplanted=80.0, timeout_s=20.0):
    """Answer every candidate of a category until all its merges have ended.

    One after the other: what is accepted together may be published together.
    """
    answered = set()

    def done():
        merges = client.list_merges(category)
        if answered <= {merge.merge_key for merge in merges if merge.state in ENDED}:
            for key, _ in client.fetch_candidates()[:1]:
                client.report_verdict(verdict(key, transplanted))
                answered.add(key)
        return merges if merges and all(merge.state in ENDED for merge in merges) else None

    return wait(done, timeout_s)


def settled(client):
    """Wait until every merge has ended by itself."""

    def done():
        merges = client.list_merges()
        return merges if merges and all(merge.state in ENDED for merge in merges) else None

    return wait(done)


def both_made(center):
    """Make the founder's and the newcomer's teacher while the center is idle: their bytes matter."""
    center.teacher("dog", seed=2)
    center.teacher("cat", seed=1)


def versions(client, at_least):
    return wait(lambda: found if len(found := client.list_versions()) >= at_least else None)


@pytest.fixture(scope="module")
def center(tmp_path_factory):
    with real_center(tmp_path_factory.mktemp("center"), founder="dog") as running:
        yield running


@pytest.fixture(scope="module")
def grown(center):
    """A net of a founder and one transplanted category."""
    assert center.bring("cat", seed=1) == []  # waits for the founder
    center.bring("dog", seed=2)
    client = center.client("site-cat")
    return settle(client, "cat"), versions(client, 3)


def test_founder_then_growth_to_numbered_versions(grown):
    merges, found = grown
    assert {merge.state for merge in merges} == {MergeState.PUBLISHED}
    assert [version.number for version in found] == [1, 2, 3]
    first, _, newest = found
    assert {(route.category, route.task, route.adapter) for route in first.routes} == {
        ("dog", task, None) for task in BOTH
    }
    assert newest.routes[:2] == first.routes
    assert {(route.category, route.task) for route in newest.routes[2:]} == {("cat", task) for task in BOTH}
    for route in newest.routes[2:]:
        resident = next(old for old in first.routes if old.task == route.task)
        assert route.task_module == resident.task_module
        assert route.adapter is not None
    assert [version.parent_digest for version in found[1:]] == [net_digest(v) for v in found[:2]]
    assert merges[0].figures.keys() >= {"agreement", "closed", "teacher.error", "floor.error"}


def test_the_proof_that_nothing_was_forgotten_is_kept(center, grown):
    with Registry(center.settings.url).read() as books:
        proof = books.versions.proof(3)
        steps = [t.to_state for t in books.merges.transitions(grown[0][0].merge_key)]
    assert len(proof) == len(grown[1][1].module_ids()) + len(grown[1][1].routes)
    assert all(entry.before_sha256 == entry.after_sha256 for entry in proof)
    order = ["planned", "learning", "candidate", "validating", "published"]
    assert list(dict.fromkeys(steps)) == order


@pytest.mark.usefixtures("grown")
def test_a_reader_fetches_the_whole_net_and_nothing_else(center):
    client = center.client("ann", Role.READER)
    newest = client.get_version()
    assert {module.module_id for module in client.list_modules()} == set(newest.module_ids())
    adapter = newest.routes[-1].adapter
    manifest = client.get_manifest(adapter)
    assert (manifest.site, manifest.kind) == ("central", ModuleKind.ADAPTER)
    assert sha256_file(client.download(adapter, center.home / "net")) == manifest.payload_sha256
    with pytest.raises(NotFound):
        client.get_version(99)


def test_asking_again_returns_the_same_merges(center, grown):
    again = center.bring("cat", seed=1)
    assert {merge.merge_key for merge in again} == {merge.merge_key for merge in grown[0]}
    assert {merge.state for merge in again} == {MergeState.PUBLISHED}


@pytest.mark.usefixtures("grown")
def test_a_newer_teacher_is_a_candidate_beside_the_published_routes(center):
    newer = center.bring("cat", seed=77)
    assert {merge.state for merge in newer} <= {MergeState.PLANNED, MergeState.LEARNING}
    client = center.client("site-cat")
    assert len(client.get_version().routes) == 4
    for merge in newer:
        assert client.cancel_merge(merge.merge_key).state is MergeState.CANCELLED
    assert center.bring("cat", seed=77)[0].state is MergeState.CANCELLED  # and is not planned anew


@pytest.mark.usefixtures("grown")
def test_events_tell_the_story_in_order(center):
    client = center.client("site-dog")
    kinds = []
    for event in client.watch_events(0):
        kinds.append((event.kind, event.detail))
        if event == ("VersionPublished", "3") or kinds[-1] == ("VersionPublished", "3"):
            break
    assert kinds[0][0] == "ModuleAccepted"
    published = [detail for kind, detail in kinds if kind == "VersionPublished"]
    assert published == ["1", "2", "3"]
    dogs = [detail for kind, detail in kinds if kind == "MergeMoved"]
    assert dogs == ["planned"] * 2 + ["candidate"] * 2 + ["published"] * 2  # no event of the cat's


@pytest.mark.usefixtures("grown")
def test_a_bad_route_is_rejected_with_figures(center):
    center.bring("cow", seed=3)
    merges = settle(center.client("site-cow"), "cow", transplanted=20.0)
    assert {merge.state for merge in merges} == {MergeState.REJECTED}
    assert all("the policy asks 50 %" in merge.reason for merge in merges)
    assert len(center.client("site-cow").list_versions()) == 3
    with pytest.raises(MergeNotPossible, match="has ended already"):
        center.client("site-cow").cancel_merge(merges[0].merge_key)


def test_others_neither_see_nor_touch_a_sites_merge(center, grown):
    key = grown[0][0].merge_key
    stranger = center.client("site-emu")
    assert stranger.list_merges() == []
    assert stranger.fetch_candidates() == []
    for call in (stranger.cancel_merge, lambda k: stranger.report_verdict(verdict(k, 1.0))):
        with pytest.raises(NotFound):
            call(key)
    teacher = center.teacher("cat", seed=1)
    with pytest.raises(NotFound):
        stranger.request_merge(teacher.f.module_id, [teacher.g[Task.SEGMENTATION].module_id])
    with pytest.raises(NotAllowed):
        center.client("ann", Role.READER).cancel_merge(key)


@pytest.mark.usefixtures("grown")
def test_a_request_must_be_one_teacher(center):
    teacher = center.teacher("hen", seed=4)
    other = center.teacher("hen", seed=5, tasks=(Task.SEGMENTATION,))
    center.push(teacher)
    center.push(other)
    client = center.client("site-hen")
    f, g = teacher.f.module_id, teacher.g[Task.SEGMENTATION].module_id
    foreign = other.g[Task.SEGMENTATION].module_id
    for category_module, task_modules in ((g, [g]), (f, []), (f, [f]), (f, [foreign])):
        with pytest.raises(MergeNotPossible):
            client.request_merge(category_module, task_modules)
    assert client.list_merges() == []


@pytest.mark.slow
def test_a_center_that_is_restarted_at_any_state_goes_on(tmp_path):
    with real_center(tmp_path, founder="dog", steps=40, workers=1) as center:
        both_made(center)
        center.bring("dog", seed=2)
        center.bring("cat", seed=1)
        center.restart()
        wait(lambda: any(merge.step for merge in center.client("site-cat").list_merges()))
        center.restart()
        wait(lambda: center.client("site-cat").fetch_candidates())
        center.restart()
        settle(center.client("site-cat"), "cat")
        center.restart()
        assert len(versions(center.client("site-cat"), 3)) == 3
        adapters = [route.adapter for route in center.client("site-cat").get_version().routes]
    with real_center(tmp_path / "calm", founder="dog", steps=40, workers=2) as center:
        both_made(center)
        center.bring("dog", seed=2)
        center.bring("cat", seed=1)
        settle(center.client("site-cat"), "cat")
        routes = versions(center.client("site-cat"), 3)[-1].routes
    assert {route.adapter for route in routes} == set(adapters)  # the same bytes, killed or not


def test_a_cancelled_merge_stops_its_worker(tmp_path):
    with real_center(tmp_path, steps=100_000) as center:
        center.bring("dog", seed=2)
        center.bring("cat", seed=1)
        client = center.client("site-cat")
        merges = wait(lambda: [m for m in client.list_merges() if m.state is MergeState.LEARNING and m.step])
        cancelled = client.cancel_merge(merges[0].merge_key)
        assert cancelled.state is MergeState.CANCELLED
        assert client.cancel_merge(merges[0].merge_key).state is MergeState.CANCELLED
        engine = center.serving._engine
        wait(lambda: merges[0].merge_key not in engine.running())
        assert "cancelled by site site-cat" in next(
            m.reason for m in client.list_merges() if m.merge_key == merges[0].merge_key
        )


def test_no_verdict_in_time_rejects(tmp_path):
    with real_center(tmp_path, validation_deadline_s=0.1) as center:
        center.bring("dog", seed=2)
        center.bring("cat", seed=1)
        client = center.client("site-cat")
        merges = settled(client)
        assert {merge.state for merge in merges} == {MergeState.REJECTED}
        assert "no verdict" in merges[0].reason


@pytest.mark.usefixtures("grown")
def test_a_teacher_has_one_module_a_task(center):
    teacher = center.teacher("pig", seed=6)
    center.push(teacher)
    client = center.client("site-pig")
    client.request_merge(teacher.f.module_id, [teacher.g[Task.SEGMENTATION].module_id])

    second, payload = sealed(
        ModuleKind.TASK, Task.SEGMENTATION, TINY, 999, (teacher.f.module_id,), "site-pig", "pig"
    )
    teacher.paths[second.module_id] = write_artifact(center.home / "outbox", second, payload)
    center.push(teacher, second)
    with pytest.raises(RegistryConflict, match="another segmentation module"):
        client.request_merge(teacher.f.module_id, [second.module_id])
