"""Several hostile callers at once, each within its own limits: an honest one is served all the same.

The server has eight threads here. Its clock stands still unless a test moves it, so that no idle deadline
ends anything: whoever gets a place gets it from another call. Each call of the honest site is made once.
"""

from __future__ import annotations

import pytest
from fakes.attacks import raw_call
from fakes.held_center import (
    CALLS,
    DECLARE,
    DOWNLOAD,
    PAYLOAD,
    STATUS,
    STREAMS,
    THREADS,
    UPLOAD,
    WATCH,
    F,
    chunk_request,
)
from fakes.served_clock import until

from central.servicers.call_limits import CallLimits
from transplant.errors import CenterUnreachable, GaveWay, QuotaExceeded, TooManyCalls
from transplant.rpc.status import from_rpc_error
from transplant.v1 import catalog_pb2, intake_pb2

LIMITS = CallLimits.of(THREADS)
HOSTILE = ("site-ant", "site-bee", "site-fly", "site-mite")
CROWD = (*HOSTILE, "site-flea", "site-gnat", "site-moth")
assert GaveWay.retry  # a call that is ended from outside has no class beside its status: it reads like
GAVE_WAY = CenterUnreachable  # this, and so older sites, too, go on in a new call
OPENED = {UPLOAD: (), WATCH: (b"",), DECLARE: ()}


def crowd(world, method, names=HOSTILE, each=STREAMS):
    """Let everybody open as much as a caller may, one after the other; returns the calls."""
    message = OPENED[method]
    return [world.press(method, *message, name=name) for _ in range(each) for name in names]


def status_of_the_upload(world):
    request = intake_pb2.UploadStatusRequest(upload_id=world.upload_id).SerializeToString()
    answer = next(raw_call(world.channel(), STATUS, [request]))
    return intake_pb2.UploadStatusResponse.FromString(answer).durable_offset


def reasons(calls):
    """Why the calls that have ended did."""
    return {type(from_rpc_error(call)) for call in calls if not call.is_active()}


@pytest.mark.parametrize("method", OPENED)
def test_a_plain_call_gets_through_whatever_others_hold(callers, method):
    crowd(callers, method, each=CALLS if method == DECLARE else STREAMS)
    assert callers.under_way >= LIMITS.all_watches
    for _ in range(10):
        status_of_the_upload(callers)


def test_a_plain_call_gets_through_when_streams_and_plain_calls_are_held(callers):
    held = crowd(callers, UPLOAD, each=2)
    held += crowd(callers, DECLARE, each=2)
    assert callers.under_way >= LIMITS.all_calls
    for name in HOSTILE * 5:  # whoever was sent away comes again, before each call of the honest site
        status_of_the_upload(callers)
        held.append(callers.press(DECLARE, name=name))
    assert reasons(held) <= {GAVE_WAY, TooManyCalls}


def test_an_upload_gets_a_place_at_once_and_keeps_it_while_others_come_again(callers):
    """Bound: one call a chunk, and not one that is tried again."""
    held = crowd(callers, UPLOAD)
    assert callers.under_way == LIMITS.all_streams
    begin = status_of_the_upload(callers)
    part = callers.center.serving._center.parts.path(callers.upload_id)
    for start in range(begin, begin + 500, 100):
        chunk = chunk_request(callers, start, PAYLOAD[start : start + 100])
        mine = callers.press(UPLOAD, chunk, name="site-dog")
        until(lambda: part.exists() and part.stat().st_size == start + 100)  # noqa: B023 - called at once
        held += crowd(callers, UPLOAD)
        assert mine.is_active()
        mine.cancel()
        until(lambda: callers.held_by("site-dog") == 0)
    assert status_of_the_upload(callers) == begin + 500
    assert callers.under_way <= LIMITS.all_streams
    assert reasons(held) == {GAVE_WAY, TooManyCalls}


def test_a_download_gets_a_place(callers):
    with callers.center.serving._registry.write() as books:
        books.modules.add(F, callers.clock.now())
    callers.center.serving._center.store.put_bytes(PAYLOAD)
    crowd(callers, UPLOAD)
    request = catalog_pb2.DownloadRequest(module_id=F.module_id).SerializeToString()
    chunks = raw_call(callers.channel(), DOWNLOAD, [request])
    assert b"".join(catalog_pb2.DownloadResponse.FromString(chunk).data for chunk in chunks) == PAYLOAD


def test_a_watch_gets_a_place_and_the_rest_stays_free_for_transfers(callers):
    held = crowd(callers, WATCH, HOSTILE[:2])
    assert callers.under_way == LIMITS.all_watches < LIMITS.all_streams
    mine = callers.press(WATCH, b"", name="site-dog")
    held += crowd(callers, WATCH, HOSTILE[:2])
    assert mine.is_active()
    assert reasons(held) == {GAVE_WAY, QuotaExceeded}
    assert callers.press(UPLOAD, name="site-cat").is_active()


def test_where_everybody_holds_one_the_stillest_gives_way_in_time(callers):
    """More callers than places, none with more than its share: nobody may let the server wait for long."""
    held = crowd(callers, UPLOAD, CROWD[: LIMITS.all_streams], each=1)
    assert all(call.is_active() for call in held)
    late = callers.press(UPLOAD, name="site-dog")
    assert reasons([late]) == {TooManyCalls}
    assert all(call.is_active() for call in held)
    callers.clock.advance(LIMITS.still_s)
    held.append(callers.press(UPLOAD, name="site-dog"))
    assert held[-1].is_active()
    assert [call.is_active() for call in held].count(False) == 1
    assert not held[0].is_active()  # it was there first, and has done nothing since
    callers.clock.advance(-LIMITS.still_s)
