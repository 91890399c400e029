"""A right that is lost ends open streams, whatever they wait for, with the status that a new call gets."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from itertools import repeat

import grpc
import pytest
from fakes.artifacts import sealed
from fakes.clock import FakeClock
from fakes.served_clock import center_with_clock, streams_of, until

from central.home import open_registry
from central.identity.peer import Peer
from central.identity.provision import revoke_certificates, withdraw_site
from central.servicers.open_streams import CHECK_EVERY_S, UNCHECKED_S, OpenStream, OpenStreams
from transplant.artifact.chunks import chunk_of
from transplant.errors import NotAllowed, NotAuthenticated, RegistryUnavailable
from transplant.rpc.channel import load_kit, open_channel
from transplant.rpc.status import from_rpc_error
from transplant.types import Identity, Role
from transplant.v1 import catalog_pb2, intake_pb2
from transplant.v1.catalog_pb2_grpc import CatalogStub
from transplant.v1.intake_pb2_grpc import IntakeStub

WAIT_S = 20


@pytest.fixture
def served(tmp_path):
    with center_with_clock(tmp_path) as (center, clock):
        yield center, clock


@pytest.fixture
def registry(served):
    opened = open_registry(served[0].settings)
    yield opened
    opened.close()


@pytest.fixture
def channel(served):
    center, _ = served
    kit = load_kit(center.kit("site-dog", categories=("dog", "wolf")))
    with open_channel(kit, center.serving.address) as opened:
        yield opened


def subjects(center):
    return {stream.subject for stream in streams_of(center).open}


class SilentUpload:
    """An upload that has sent one chunk, and whose sender then says nothing for ever."""

    def __init__(self, center, channel, category="dog"):
        manifest, payload = sealed(site="site-dog", category=category)
        self.upload_id = center.client("site-dog").declare(manifest).upload_id
        self._silence = threading.Event()
        half = payload[: len(payload) // 2]
        self._chunk = chunk_of(0, half)
        self._call = IntakeStub(channel).Upload(self._requests(), timeout=WAIT_S)

    def _requests(self):
        yield intake_pb2.UploadRequest(
            upload_id=self.upload_id,
            offset=self._chunk.offset,
            data=self._chunk.data,
            crc32c=self._chunk.crc32c,
        )
        self._silence.wait()

    def ends_with(self):
        try:
            list(self._call)
        except grpc.RpcError as error:
            return error.code(), from_rpc_error(error)
        finally:
            self._silence.set()
        return None


def test_a_silent_upload_ends_when_the_certificate_is_revoked(served, registry, channel):
    center, clock = served
    upload = SilentUpload(center, channel)
    until(lambda: subjects(center) == {upload.upload_id})
    revoke_certificates(registry, clock, Role.SITE, "site-dog", None)
    clock.advance(CHECK_EVERY_S)
    status, error = upload.ends_with()
    assert status is grpc.StatusCode.UNAUTHENTICATED
    assert isinstance(error, NotAuthenticated)
    assert "was revoked" in str(error)


def test_a_silent_upload_ends_when_its_category_is_withdrawn_and_others_go_on(served, registry, channel):
    center, clock = served
    dog, wolf = SilentUpload(center, channel, "dog"), SilentUpload(center, channel, "wolf")
    until(lambda: subjects(center) == {dog.upload_id, wolf.upload_id})
    assert withdraw_site(registry, "site-dog", ["dog"]) == ("wolf",)
    clock.advance(CHECK_EVERY_S)
    status, error = dog.ends_with()
    assert status is grpc.StatusCode.PERMISSION_DENIED
    assert isinstance(error, NotAllowed)
    assert "may not bring the category dog" in str(error)
    until(lambda: subjects(center) == {wolf.upload_id})
    withdraw_site(registry, "site-dog", [])
    clock.advance(CHECK_EVERY_S)
    status, error = wolf.ends_with()
    assert status is grpc.StatusCode.PERMISSION_DENIED
    assert "was withdrawn" in str(error)


def test_a_certificate_that_expires_ends_a_watch_that_waits_for_an_event(served, channel):
    center, clock = served
    call = CatalogStub(channel).WatchEvents(catalog_pb2.WatchEventsRequest(), timeout=WAIT_S)
    until(lambda: len(streams_of(center).open) == 1)
    for _ in range(3):  # a check that finds nothing wrong leaves the stream alone
        clock.advance(CHECK_EVERY_S)
        streams_of(center).look()
    assert call.is_active()
    clock.advance(2 * 86400)
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "expired on" in caught.value.details()


def test_a_download_that_nobody_reads_ends_too(served, registry, channel, monkeypatch):
    """The server's thread waits inside gRPC for a receiver that does not read."""
    center, clock = served
    chunk = chunk_of(0, bytes(1 << 20))
    monkeypatch.setattr("central.usecases.read_catalog.download", lambda *_: repeat(chunk))
    call = CatalogStub(channel).Download(catalog_pb2.DownloadRequest(module_id="m"), timeout=WAIT_S)
    next(call)
    assert subjects(center) == {"m"}
    revoke_certificates(registry, clock, Role.SITE, "site-dog", None)
    clock.advance(CHECK_EVERY_S)
    until(lambda: not streams_of(center).open)
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


class Context:
    """Of a call that has no core below it: it can only be cancelled."""

    def __init__(self):
        self.cancelled = False

    def cancel(self):
        self.cancelled = True


def test_rights_that_cannot_be_looked_up_hold_for_a_while_and_no_longer():
    clock, asked = FakeClock(), []
    state = [None]

    def check(stream):
        asked.append(stream)
        if state[0] is not None:
            raise state[0]

    streams = OpenStreams(check, clock)
    peer = Peer(Identity(Role.SITE, "site-dog"), "1", datetime(2030, 1, 1, tzinfo=UTC))
    contexts = [Context(), Context()]
    with (
        streams.lasting(OpenStream("/a/b", peer, contexts[0])),
        streams.lasting(OpenStream("/a/b", peer, contexts[1])),
    ):
        streams.look()
        assert len(asked) == 2
        state[0] = RegistryUnavailable("the database is away")
        clock.advance(UNCHECKED_S - 1)
        streams.look()
        assert len(asked) == 3  # one question is enough to know that the registry is away
        assert not any(context.cancelled for context in contexts)
        state[0] = None
        streams.look()
        state[0] = RegistryUnavailable("the database is away")
        clock.advance(UNCHECKED_S)
        streams.look()
        assert all(context.cancelled for context in contexts)
    asked.clear()
    streams.look()
    assert asked == []
    assert UNCHECKED_S + CHECK_EVERY_S <= 30
