"""Every method of the client against a center that speaks real gRPC with mTLS."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from itertools import islice

import pytest
from fakes.artifacts import sealed, sealed_task
from fakes.center import FakeCenter
from fakes.pki import Authority

from transplant.errors import (
    AdmissionPending,
    ArtifactRejected,
    CenterUnreachable,
    CertificateInvalid,
    NotFound,
    UnexpectedFailure,
    UploadIncomplete,
)
from transplant.rpc.client import CentralClient
from transplant.rpc.messages import Event, UploadPhase
from transplant.rpc.retry import RetryPolicy
from transplant.types import MergeState, MergeSummary, ModuleKind, NetVersion, Route, Task, Verdict

POLICY = RetryPolicy(deadline_s=5, first_s=0.01, longest_s=0.1)
ROUTE = Route("dog", Task.SEGMENTATION, "1" * 64, "2" * 64, "3" * 64, "4" * 64)


def _unreachable():
    raise CenterUnreachable("not now")


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
def center(authority):
    center = FakeCenter(authority.cert, authority.server())
    yield center
    center.stop()


@pytest.fixture
def client(authority, center):
    with CentralClient(authority.kit(center.address), policy=POLICY) as client:
        yield client


def test_declare_upload_commit(client, tmp_path):
    manifest, payload = sealed_task()
    path = tmp_path / "payload"
    path.write_bytes(payload)
    declared = client.declare(manifest)
    assert declared.module_id == manifest.module_id
    assert not declared.registered
    client.upload(declared.upload_id, path)
    state = client.upload_status(declared.upload_id)
    assert (state.durable_offset, state.missing) == (len(payload), ())
    assert client.commit(declared.upload_id, manifest.payload_sha256) == manifest.module_id
    assert client.declare(manifest).registered
    assert client.get_manifest(manifest.module_id) == manifest


def test_unary_calls_are_retried(client, center):
    center.state.call_faults = [_unreachable, _unreachable]
    center.state.versions = [NetVersion(1, None, (ROUTE,))]
    assert client.get_version() == center.state.versions[0]
    assert center.state.call_faults == []


def test_list_modules_reads_every_page(client, center):
    for seed in range(5):
        manifest, payload = sealed(seed=seed)
        center.state.modules[manifest.module_id] = (manifest, payload)
    lines = client.list_modules()
    assert [line.module_id for line in lines] == sorted(center.state.modules)
    assert {(line.site, line.kind, line.task) for line in lines} == {("site-a", ModuleKind.CATEGORY, None)}


def test_versions_come_with_their_digest(client, center):
    first = NetVersion(1, None, (ROUTE,))
    second = NetVersion(2, "a" * 64, (ROUTE, Route("cat", Task.SEGMENTATION, *["5" * 64] * 4)))
    center.state.versions = [first, second]
    assert client.list_versions() == [first, second]
    assert client.list_versions(after=1) == [second]


def test_no_version_yet_is_not_found(client):
    with pytest.raises(NotFound, match="no version yet"):
        client.get_version()


def test_a_watch_goes_on_after_breaks_and_repeats_nothing(client, center):
    center.state.events = [Event(number, "ModuleAccepted", f"m{number}", "") for number in range(1, 4)]
    center.state.call_faults = [None, _unreachable, _unreachable]  # after the first event, then on return
    assert [event.event_id for event in islice(client.watch_events(), 3)] == [1, 2, 3]
    assert [event.event_id for event in islice(client.watch_events(after=2), 1)] == [3]


def test_a_watch_goes_on_with_another_kit(client, center):
    center.state.events = [Event(1, "ModuleAccepted", "m1", "")]
    heard = client.watch_events()
    assert next(heard).event_id == 1
    client.use(client.kit)
    with center.state.changed:
        center.state.events.append(Event(2, "ModuleAccepted", "m2", ""))
        center.state.changed.notify_all()
    assert next(heard).event_id == 2


def test_a_quiet_watch_is_not_a_failure(authority, center):
    policy = RetryPolicy(deadline_s=0.3, first_s=0.01, longest_s=0.02)
    with CentralClient(authority.kit(center.address), policy=policy, stream_s=0.2) as client:
        found: list[Event] = []
        watcher = threading.Thread(target=lambda: found.extend(islice(client.watch_events(), 1)))
        watcher.start()
        quiet_until = time.monotonic() + 0.7  # longer than the policy's deadline
        watcher.join(timeout=quiet_until - time.monotonic())
        assert watcher.is_alive()
        with center.state.changed:
            center.state.events.append(Event(7, "VersionPublished", "1", ""))
            center.state.changed.notify_all()
        watcher.join(timeout=5)
        assert [event.event_id for event in found] == [7]


def test_watching_a_merge_ends_with_it(client, center):
    center.state.merges = [
        MergeSummary("k" * 64, "dog", Task.CLASSIFICATION, MergeState.LEARNING, 10, 20, {"loss": 0.5}),
        MergeSummary("k" * 64, "dog", Task.CLASSIFICATION, MergeState.PUBLISHED, 20, 20, {}, "", 2),
        MergeSummary("k" * 64, "dog", Task.CLASSIFICATION, MergeState.PLANNED),
    ]
    assert list(client.watch_merge("k" * 64)) == center.state.merges[:2]
    assert client.list_merges() == center.state.merges


def test_merges_and_verdicts(client, center):
    teacher_id, merges = client.request_merge("1" * 64, ["2" * 64])
    assert teacher_id == "1" * 64
    assert [merge.state for merge in merges] == [MergeState.PLANNED]
    client.request_merge("1" * 64, ["2" * 64], retry=True)
    assert center.state.retries == [False, True]
    center.state.candidates = [("4" * 64, ROUTE)]
    assert client.fetch_candidates() == [("4" * 64, ROUTE)]
    verdict = Verdict("4" * 64, {"error": 2.5}, {"error": 5.0}, {"error": 50.0}, 97)
    assert client.report_verdict(verdict) == "published"
    assert center.state.verdicts == [verdict]


def test_a_bug_of_the_center_is_an_incident_without_details(client, caplog):
    with pytest.raises(UnexpectedFailure, match=r"incident [0-9a-f]{12}") as caught:
        client.cancel_merge("4" * 64)
    assert "a bug, for the incident test" not in str(caught.value)
    incident = str(caught.value).split()[-1]
    record = next(record for record in caplog.records if incident in record.getMessage())
    assert record.exc_info is not None


def test_nobody_there_is_center_unreachable(authority, center):
    address = center.address
    center.stop()
    policy = RetryPolicy(deadline_s=0.3, first_s=0.01, longest_s=0.05)
    with (
        CentralClient(authority.kit(address), policy=policy) as client,
        pytest.raises(CenterUnreachable),
    ):
        client.list_merges()
    center.start()


def test_a_restarted_center_is_found_again(client, center):
    assert client.list_merges() == []
    center.restart()
    assert client.list_merges() == []


def test_a_center_of_another_authority_is_not_trusted(authority):
    stranger = Authority("stranger")
    center = FakeCenter(stranger.cert, stranger.server())
    try:
        with (
            CentralClient(authority.kit(center.address), policy=POLICY) as client,
            pytest.raises(CertificateInvalid, match="do not trust each other"),
        ):
            client.list_merges()
    finally:
        center.stop()


def test_a_site_of_another_authority_is_not_let_in(authority, center):
    stranger = Authority("stranger").kit(center.address)
    kit = replace(stranger, ca=authority.cert)
    policy = RetryPolicy(deadline_s=0.5, first_s=0.01, longest_s=0.05)
    with (
        CentralClient(kit, policy=policy) as client,
        pytest.raises(CenterUnreachable, match="may not accept the certificate"),
    ):
        client.list_merges()


def test_a_center_under_another_name_is_not_trusted(authority):
    center = FakeCenter(authority.cert, authority.server(("elsewhere.example",)))
    try:
        with (
            CentralClient(authority.kit(center.address), policy=POLICY) as client,
            pytest.raises(CertificateInvalid),
        ):
            client.list_merges()
    finally:
        center.stop()


def test_a_closed_client_says_so(authority, center):
    client = CentralClient(authority.kit(center.address))
    client.close()
    with pytest.raises(CenterUnreachable, match="closed"):
        client.list_merges()


def test_a_verdict_is_waited_for_through_faults_and_restarts(client, center, tmp_path):
    manifest, payload = sealed_task()
    path = tmp_path / "payload"
    path.write_bytes(payload)
    upload_id = client.declare(manifest).upload_id
    with pytest.raises(UploadIncomplete, match="commit it first"):
        client.wait_for_verdict(upload_id)
    client.upload(upload_id, path)
    client.commit(upload_id, manifest.payload_sha256)
    center.state.phases = [UploadPhase.RECEIVED] * 3
    center.state.call_faults = [None, _unreachable]
    center.restart()
    assert client.wait_for_verdict(upload_id).registered
    assert center.state.phases == []
    center.state.phases = [UploadPhase.RECEIVED] * 2
    with pytest.raises(AdmissionPending, match="has not decided"):
        client.wait_for_verdict(upload_id, timeout_s=0)
    center.state.phases = [UploadPhase.REJECTED]
    rejected = client.wait_for_verdict(upload_id)
    with pytest.raises(ArtifactRejected):
        rejected.raise_rejection()
