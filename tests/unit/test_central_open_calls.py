"""Which call gives way where there is no room, told call by call; no network, and a clock that is moved."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from fakes.clock import FakeClock
from fakes.every_rpc import OWN, every_rpc

from central.servicers.call_limits import CallLimits, Kind
from central.servicers.open_calls import OpenCalls
from central.servicers.rights import WATCHES
from transplant.errors import QuotaExceeded, TooManyCalls
from transplant.types import Identity, Role

LIMITS = CallLimits.of(8)


class Context:
    """Of a call that has no core below it: it can only be cancelled."""

    def __init__(self):
        self.cancelled = False

    def cancel(self):
        self.cancelled = True


class World:
    def __init__(self, stack):
        self.clock = FakeClock()
        self.calls = OpenCalls(LIMITS, self.clock)
        self.stack = stack

    def opened(self, names, kind=Kind.STREAM, *, waits=True):
        """Open a call each, one after the other."""
        return [self.one(name, kind, waits=waits) for name in names]

    def one(self, name, kind=Kind.STREAM, *, waits=True):
        self.clock.advance(0.001)
        own = self.stack.enter_context(ExitStack())
        call = own.enter_context(self.calls.taking(Identity(Role.SITE, name), kind, Context()))
        if waits:
            own.enter_context(call)
        else:
            with call:  # its request was there at once
                pass
        call.hang_up = own.close
        return call


@pytest.fixture
def world():
    with ExitStack() as stack:
        yield World(stack)


def ended(calls):
    assert all(call.context.cancelled == call.leaving for call in calls)
    return [index for index, call in enumerate(calls) if call.leaving]


@pytest.mark.parametrize("threads", [4, 5, 8, 16, 48, 1024])
@pytest.mark.parametrize("streams", [1, 32, 1000])
def test_the_bounds_leave_a_thread_to_calls_that_come_and_go(threads, streams):
    limits = CallLimits.of(threads, streams)
    assert 1 <= limits.streams < limits.calls < threads
    assert 1 <= limits.all_watches <= limits.all_streams
    assert limits.all_streams + limits.leaving < threads
    assert limits.all_streams < limits.all_calls < threads
    assert limits.still_s < limits.idle_s


def test_every_stream_is_a_transfer_or_known_as_a_watch():
    streams = {rpc.name for rpc in every_rpc() if rpc.server_streaming and rpc.name.startswith(OWN)}
    assert streams == WATCHES | {f"{OWN}Intake/Upload", f"{OWN}Catalog/Download"}


def test_while_there_is_room_nobody_gives_way(world):
    assert ended(world.opened("aaabbb")) == []


def test_the_one_who_holds_most_gives_way_and_of_its_calls_the_stillest(world):
    calls = world.opened("abbbaa")
    world.clock.advance(1)
    with calls[1]:  # something moves in the oldest of b's
        pass
    world.one("c")
    assert ended(calls) == [0]  # a and b hold three each: the one that moved last longest ago
    calls[0].hang_up()
    world.one("d")
    assert ended(calls) == [0, 2]


def test_a_caller_never_gets_another_ones_place_by_asking_again(world):
    calls = world.opened("aabbcc")
    for name in "abc":
        with pytest.raises(TooManyCalls, match="all callers together have 6 streams"):
            world.one(name)
    assert ended(calls) == []
    assert len(world.calls.all) == 6


def test_among_equals_whoever_has_let_the_server_wait_gives_way(world):
    calls = world.opened("abcdef")
    busy = calls[0]
    world.clock.advance(LIMITS.still_s - 1)
    with pytest.raises(TooManyCalls):
        world.one("g")
    with busy:
        pass  # and now it is the server's turn
    world.clock.advance(1)
    world.one("g")
    assert ended(calls) == [1]


def test_a_stream_in_which_the_server_has_no_news_does_not_wait_for_its_caller(world):
    world.opened("abcdef", waits=False)
    world.clock.advance(1000)
    with pytest.raises(TooManyCalls):
        world.one("g")


def test_those_who_are_leaving_hold_only_so_many_threads_longer(world):
    calls = world.opened("aaabbb")
    world.opened("c" * LIMITS.leaving)
    assert len(ended(calls)) == LIMITS.leaving
    with pytest.raises(TooManyCalls):
        world.one("d")
    assert world.one("d", Kind.PLAIN).who.name == "d"


def test_watches_have_a_bound_of_their_own_and_give_way_to_who_has_none(world):
    calls = world.opened("aabb", Kind.WATCH, waits=False)
    with pytest.raises(QuotaExceeded, match="4 streams are watching already"):
        world.one("a", Kind.WATCH)
    world.one("c", Kind.WATCH)
    assert ended(calls) == [0]


def test_a_plain_call_takes_the_place_of_one_whose_request_has_not_come(world):
    calls = world.opened("aaab", Kind.PLAIN)
    calls += world.opened("cd", Kind.PLAIN, waits=False)
    world.one("c", Kind.PLAIN)
    assert ended(calls) == []
    world.one("c", Kind.PLAIN)
    assert ended(calls) == [0]


def test_a_plain_call_is_let_in_where_nobody_can_give_way(world):
    calls = world.opened("abcdefgh" * 2, Kind.PLAIN, waits=False)
    assert ended(calls) == []


def test_one_caller_is_held_to_its_own_number_first(world):
    calls = world.opened("aaa")
    with pytest.raises(TooManyCalls, match="site a has 3 streams under way"):
        world.one("a")
    world.one("a", Kind.PLAIN)
    with pytest.raises(TooManyCalls, match="site a has 4 calls under way"):
        world.one("a", Kind.PLAIN)
    assert ended(calls) == []
