"""Uploads: flow control, acknowledgements, resuming, corrupt chunks, giving up."""

from __future__ import annotations

import hashlib

import pytest
from fakes.center import FakeCenter
from fakes.pki import Authority

from transplant.artifact.chunks import SENT_BYTES, WINDOW_BYTES
from transplant.errors import (
    CenterUnreachable,
    ChunkCorrupt,
    DigestMismatch,
    NotFound,
    PayloadMalformed,
    QuotaExceeded,
    StorageFull,
)
from transplant.rpc.client import CentralClient
from transplant.rpc.retry import RetryPolicy


def _raise(error):
    def fault():
        raise error

    return fault


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
    policy = RetryPolicy(deadline_s=60, first_s=0.01, longest_s=0.1)
    with CentralClient(authority.kit(center.address), policy=policy) as client:
        yield client


@pytest.fixture
def payload(tmp_path):
    path = tmp_path / "payload"
    path.write_bytes(bytes(range(256)) * (5 * SENT_BYTES // 256) + b"tail")
    return path


def _declared(center, path, upload_id="u-1"):
    center.state.uploads[upload_id] = bytearray()
    center.state.sizes[upload_id] = path.stat().st_size
    return upload_id


def test_sends_every_byte_and_tells_the_progress(client, center, payload):
    progress = []
    client.upload(_declared(center, payload), payload, lambda done, size: progress.append((done, size)))
    assert bytes(center.state.uploads["u-1"]) == payload.read_bytes()
    size = payload.stat().st_size
    assert progress[0] == (0, size)
    assert progress[-1] == (size, size)
    assert progress == sorted(progress)


def test_runs_ahead_of_a_lazy_center_by_no_more_than_the_window(client, center, tmp_path):
    path = tmp_path / "big"
    path.write_bytes(bytes(WINDOW_BYTES + 3 * SENT_BYTES))
    center.state.ack_every = WINDOW_BYTES // SENT_BYTES  # one more and the two would wait for each other
    client.upload(_declared(center, path), path)
    assert len(center.state.uploads["u-1"]) == path.stat().st_size


def test_resumes_at_the_durable_offset_after_a_break(client, center, payload):
    center.state.chunk_faults = [None, None, _raise(CenterUnreachable("the link is cut"))]
    client.upload(_declared(center, payload), payload)
    assert center.state.upload_offsets == [0, 2 * SENT_BYTES]
    assert bytes(center.state.uploads["u-1"]) == payload.read_bytes()


def test_sends_a_corrupt_chunk_again(client, center, payload):
    center.state.chunk_faults = [_raise(ChunkCorrupt("crc")), None, _raise(ChunkCorrupt("crc"))]
    client.upload(_declared(center, payload), payload)
    assert center.state.upload_offsets == [0, 0, SENT_BYTES]
    assert bytes(center.state.uploads["u-1"]) == payload.read_bytes()


def test_sends_nothing_when_all_is_there(client, center, payload):
    upload_id = _declared(center, payload)
    center.state.uploads[upload_id] += payload.read_bytes()
    client.upload(upload_id, payload)
    assert center.state.upload_offsets == []


def test_goes_on_after_a_restart_of_the_center(client, center, payload):
    restarted = []

    def restart_once(done, _size):
        if done and not restarted:
            restarted.append(done)
            center.restart()

    client.upload(_declared(center, payload), payload, restart_once)
    assert restarted
    assert bytes(center.state.uploads["u-1"]) == payload.read_bytes()


def test_a_center_that_is_out_of_room_is_tried_again_until_there_is_room(client, center, payload):
    center.state.chunk_faults = [_raise(StorageFull("no room left at the center"))] * 3
    client.upload(_declared(center, payload), payload)
    assert center.state.upload_offsets == [0, 0, 0, 0]
    assert bytes(center.state.uploads["u-1"]) == payload.read_bytes()


def test_a_center_that_stays_out_of_room_is_told_to_the_site_at_the_deadline(authority, center, payload):
    center.state.chunk_faults = [_raise(StorageFull("no room left at the center"))] * 2
    with (
        CentralClient(authority.kit(center.address), policy=RetryPolicy(deadline_s=0)) as client,
        pytest.raises(StorageFull, match="no room left at the center"),
    ):
        client.upload(_declared(center, payload), payload)
    assert center.state.upload_offsets == [0]


def test_what_no_retry_cures_is_raised_at_once(client, center, payload):
    center.state.chunk_faults = [_raise(QuotaExceeded("the site has used its quota"))]
    with pytest.raises(QuotaExceeded, match="the site has used its quota"):
        client.upload(_declared(center, payload), payload)
    assert center.state.upload_offsets == [0]


def test_an_unknown_upload_is_not_found(client, payload):
    with pytest.raises(NotFound, match="no upload"):
        client.upload("u-unknown", payload)


def test_a_file_that_shrank_is_reported_where_it_lies(client, center, payload):
    upload_id = _declared(center, payload)

    def truncate(done, _size):
        if not done:
            payload.write_bytes(b"short")

    with pytest.raises(PayloadMalformed, match="cannot read"):
        client.upload(upload_id, payload, truncate)


@pytest.mark.parametrize("sent_before", [0, 3 * SENT_BYTES, "all"])
def test_a_file_that_is_not_what_was_sealed_is_named_here(client, center, payload, sent_before):
    upload_id, content = _declared(center, payload), payload.read_bytes()
    center.state.uploads[upload_id] += content if sent_before == "all" else content[:sent_before]
    client.upload(upload_id, payload, sha256=hashlib.sha256(content).hexdigest())
    center.state.uploads[upload_id] = bytearray(content[: SENT_BYTES if sent_before else 0])
    payload.write_bytes(b"?" + content[1:])
    with pytest.raises(DigestMismatch, match=f"{payload} is not the payload that was sealed; seal it again"):
        client.upload(upload_id, payload, sha256=hashlib.sha256(content).hexdigest())


def test_a_chunk_that_is_sent_twice_is_hashed_once(client, center, payload):
    center.state.chunk_faults = [None, _raise(ChunkCorrupt("crc")), _raise(CenterUnreachable("cut"))]
    sealed = hashlib.sha256(payload.read_bytes()).hexdigest()
    client.upload(_declared(center, payload), payload, sha256=sealed)
    assert bytes(center.state.uploads["u-1"]) == payload.read_bytes()
