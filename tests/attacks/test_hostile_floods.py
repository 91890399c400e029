"""Callers that open too much, or send what is only large: refused, while others are served.

The server has eight threads here; one caller may have three streams and four calls.
"""

from __future__ import annotations

import grpc
import pytest
from fakes.artifacts import sealed
from fakes.attacks import Attacks, check, outcome, raw_call
from fakes.held_center import (
    CALLS,
    DECLARE,
    DOWNLOAD,
    STATUS,
    STREAMS,
    UPLOAD,
    WATCH,
    big_module,
)
from fakes.served_clock import until

from central.servicers.call_limits import CallLimits
from transplant.errors import (
    InvalidSettings,
    ManifestInvalid,
    QuotaExceeded,
    TooLarge,
    TooManyCalls,
)
from transplant.rpc.channel import load_kit
from transplant.rpc.convert import manifest_to_proto
from transplant.rpc.status import from_rpc_error
from transplant.v1 import catalog_pb2, intake_pb2

IDLE = grpc.StatusCode.DEADLINE_EXCEEDED
floods = Attacks()


@floods(TooManyCalls, message=f"{STREAMS} streams under way")
def one_upload_more(world):
    """As many uploads as a caller may have are open and silent; it opens another."""
    for _ in range(STREAMS):
        world.hold(UPLOAD)
    next(raw_call(world.channel(), UPLOAD, [b""]))


@floods(TooManyCalls, message=f"{STREAMS} streams under way")
def one_watch_more(world):
    """The same with watches, which wait for events and not for their caller."""
    for _ in range(STREAMS):
        world.hold(WATCH, b"")
    next(raw_call(world.channel(), WATCH, [b""]))


@floods(TooManyCalls, message=f"{STREAMS} streams under way")
def streams_of_all_kinds(world):
    """An upload, a download that nobody reads and a watch count together."""
    world.hold(UPLOAD)
    world.hold(WATCH, b"")
    request = catalog_pb2.DownloadRequest(module_id=big_module(world)).SerializeToString()
    world.hold(DOWNLOAD, request)
    next(raw_call(world.channel(), UPLOAD, [b""]))


@floods(TooManyCalls, message=f"{CALLS} calls under way")
def calls_without_requests(world):
    """Plain calls whose requests never come count too, and are counted before a byte of them is here."""
    for _ in range(CALLS):
        world.hold(DECLARE)
    next(raw_call(world.channel(), STATUS, [b""]))


@floods(TooManyCalls, message=f"{CALLS} calls under way")
def with_a_second_certificate(world):
    """A caller is who its certificate names, however many certificates and connections it has."""
    for _ in range(CALLS):
        world.hold(DECLARE)
    world.kits["site-dog"] = load_kit(world.center.kit("site-dog", categories=("dog",)))
    next(raw_call(world.channel(), STATUS, [b""]))


@floods(QuotaExceeded, message="uploads open, which is the limit")
def uploads_declared_and_left(world):
    """A caller declares module after module and never sends a byte."""
    for seed in range(100, 103):
        manifest, _ = sealed(site="site-dog", category="dog", seed=seed)
        request = intake_pb2.DeclareRequest(manifest=manifest_to_proto(manifest))
        next(raw_call(world.channel(), DECLARE, [request.SerializeToString()]))


@floods(InvalidSettings, message="are not the message of this call")
def bytes_that_are_no_message(world):
    """Random bytes as a request: said to the caller, and no trace of it in the log."""
    next(raw_call(world.channel(), DECLARE, [b"\xff" * 64]))


@floods(InvalidSettings, message="are not the message of this call")
def bytes_that_are_no_chunk(world):
    """The same in the middle of an upload."""
    list(raw_call(world.channel(), UPLOAD, [b"\xff" * 64]))


@floods(InvalidSettings, message="without a request")
def no_request_at_all(world):
    """A plain call that ends its side without a request."""
    next(raw_call(world.channel(), DECLARE, []))


@floods(TooLarge, message="bytes; at most")
def a_request_that_is_only_large(world):
    """Two million empty parts would take half a gigabyte once parsed: the bytes are counted first."""
    next(raw_call(world.channel(), DECLARE, [b"\x0a\x80\x80\xf0\x01" + b"\x42\x00" * (15 << 17)]))


@floods(ManifestInvalid, message="tensors: 500000 are listed; at most 4096 are read")
def a_manifest_of_empty_parts(world):
    """A manifest within its bytes that lists half a million tensors: counted before one is looked at."""
    manifest = b"\x42\x00" * 500_000
    request = b"\x0a" + bytes([0xC0, 0x84, 0x3D]) + manifest
    next(raw_call(world.channel(), DECLARE, [request]))


@pytest.mark.parametrize("attack", floods.table, ids=str)
def test_a_flood_ends_in_its_error_and_others_are_served(callers, attack):
    check(attack, callers)
    watched = outcome(lambda: next(raw_call(callers.channel("site-cat"), WATCH, [b""], 0.2)))
    assert watched[1] is IDLE  # its own deadline, not the server's
    cat = callers.center.client("site-cat")
    assert cat.list_modules("cat") == []


@pytest.mark.parametrize("threads", [4, 8, 16, 48, 1024])
def test_one_caller_never_has_all_threads(threads):
    limits = CallLimits.of(threads)
    assert 1 <= limits.streams < limits.calls < threads
    assert CallLimits.of(threads, streams=1000).calls < threads


def test_places_come_back_when_calls_end(callers):
    calls = [callers.hold(UPLOAD) for _ in range(STREAMS)]
    full = outcome(lambda: list(raw_call(callers.channel(), UPLOAD, [])))
    assert full is not None
    assert full[0] is TooManyCalls
    calls[0].cancel()
    until(lambda: callers.under_way == STREAMS - 1)
    assert outcome(lambda: list(raw_call(callers.channel(), UPLOAD, []))) is None


def test_a_server_that_is_full_says_so_in_a_way_that_is_tried_again():
    """gRPC's own refusal, before any of our code: no honest site may take it for bytes that are too many."""

    class Refused(grpc.RpcError, grpc.Call):
        code = staticmethod(lambda: grpc.StatusCode.RESOURCE_EXHAUSTED)
        details = staticmethod(lambda: "Concurrent RPC limit exceeded!")
        trailing_metadata = staticmethod(tuple)

    Refused.__abstractmethods__ = frozenset()
    error = from_rpc_error(Refused())
    assert type(error) is TooManyCalls
    assert error.retry
