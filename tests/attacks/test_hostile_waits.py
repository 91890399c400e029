"""Callers that let the server wait: they open and do not send, or download and do not read.

The server has eight threads here; a caller may be idle for five seconds of a clock that the test moves.
"""

from __future__ import annotations

import threading

import grpc
import pytest
from fakes.attacks import Attacks, check, raw_call
from fakes.held_center import (
    DECLARE,
    DOWNLOAD,
    IDLE_S,
    PAYLOAD,
    UPLOAD,
    WATCH,
    big_module,
    chunk_request,
)
from fakes.served_clock import until

from transplant.errors import (
    CallerIdle,
    CenterUnreachable,
)
from transplant.v1 import catalog_pb2, intake_pb2

attacks = Attacks()


IDLE = grpc.StatusCode.DEADLINE_EXCEEDED
assert CallerIdle.retry  # an honest caller that was away for too long goes on in a new call
slow = attacks(CenterUnreachable, IDLE, f"nothing was sent or read for {IDLE_S:g} s")


@slow
def request_never_comes(world):
    """A plain call is opened and its request is never sent."""
    call = world.hold(DECLARE)
    world.idle()
    next(call)


@slow
def upload_never_starts(world):
    """An upload is opened and no chunk comes."""
    call = world.hold(UPLOAD)
    world.idle()
    next(call)


@slow
def upload_stops_midway(world):
    """An upload sends one good chunk and then nothing; the chunk is kept."""
    call = world.hold(UPLOAD, chunk_request(world, 0, PAYLOAD[:100]))
    try:
        world.idle()
        list(call)
    finally:
        until(lambda: world.center.client("site-dog").upload_status(world.upload_id).durable_offset == 100)


@slow
def watch_that_never_asks(world):
    """A watch is opened and does not say from where on."""
    call = world.hold(WATCH)
    world.idle()
    next(call)


@slow
def nobody_reads_the_download(world):
    """A download is opened and not read: what is sent piles up until the link takes no more."""
    module_id = big_module(world)
    request = catalog_pb2.DownloadRequest(module_id=module_id).SerializeToString()
    call = world.hold(DOWNLOAD, request)
    world.idle()
    list(call)


@pytest.mark.parametrize("attack", attacks.table, ids=str)
def test_a_caller_who_lets_the_server_wait_is_sent_away(callers, attack):
    check(attack, callers)


def test_a_slow_upload_that_goes_on_is_let_on(callers):
    """Each message has the whole time: what comes slowly and comes is no attack."""
    turn = threading.Semaphore(0)

    begin = callers.center.client("site-dog").upload_status(callers.upload_id).durable_offset
    end = begin + 300

    def slowly():
        for start in range(begin, end, 100):
            yield chunk_request(callers, start, PAYLOAD[start : start + 100])
            turn.acquire()

    parts = callers.center.serving._center.parts
    call = raw_call(callers.channel(), UPLOAD, slowly())
    until(parts.path(callers.upload_id).exists)
    for part in (100, 200, 300):
        until(
            lambda part=part: (
                parts.path(callers.upload_id).stat().st_size == begin + part and callers.asked_now()
            )
        )
        callers.clock.advance(IDLE_S - 1)
        turn.release()
    assert intake_pb2.UploadResponse.FromString(list(call)[-1]).durable_offset == end
