"""Calls that hold a thread of the server, and which of them gives way where there is no room for another.

One caller is held to a number of its own. Several together could still hold every thread, by streams that
do nothing and by calls whose request never comes. So there are bounds for all of them together, and a call
that comes when one is reached takes the place of another:

- of a caller that holds more than the newcomer's does: the call in which nothing has moved for longest;
- or else of one that holds as much, where it has let the server wait for a while.

A stream that finds neither is turned away. A plain call never is: its own place is one of those that are
kept from streams, and only a plain call whose request has not come gives way to it.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from central.servicers.call_limits import Kind
from transplant.errors import GaveWay, QuotaExceeded, TooManyCalls
from transplant.rpc.status import end_call

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    import grpc

    from central.servicers.call_limits import CallLimits
    from transplant.ports.clock import Clock
    from transplant.types import Identity

log = logging.getLogger(__name__)


class OpenCall:
    """One call; entered whenever it is the caller's turn, to send or to read.

    Args:
        who: its caller.
        kind: what it is.
        context: gRPC's.
        clock: the center's.

    Attributes:
        since_s: since when it has been the caller's turn; None while it is the server's.
        moved_s: when the turn changed last.
        leaving: whether it was told to end.
    """

    def __init__(self, who: Identity, kind: Kind, context: grpc.ServicerContext, clock: Clock) -> None:
        self.who = who
        self.kind = kind
        self.context = context
        self.moved_s = clock.monotonic_s()
        # A plain call's request is awaited from the first moment on. Were there one in which it is neither
        # awaited nor there, calls that come right after one another could fill all threads.
        self.since_s: float | None = self.moved_s if kind is Kind.PLAIN else None
        self.leaving = False
        self._clock = clock

    def __enter__(self) -> None:
        """The caller's turn begins."""
        self.since_s = self.moved_s = self._clock.monotonic_s()

    def __exit__(self, *_: object) -> None:
        """The caller has done its part, or has gone."""
        self.since_s = None
        self.moved_s = self._clock.monotonic_s()

    @property
    def is_stream(self) -> bool:
        """Tell whether it may last."""
        return self.kind is not Kind.PLAIN


class OpenCalls:
    """Every call that a server works on now.

    Args:
        limits: see there.
        clock: the center's.
    """

    def __init__(self, limits: CallLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._open: dict[OpenCall, None] = {}  # in the order in which they came
        self._changing = threading.Lock()

    @property
    def all(self) -> tuple[OpenCall, ...]:
        """Return what is under way now."""
        with self._changing:
            return tuple(self._open)

    @contextmanager
    def taking(self, who: Identity, kind: Kind, context: grpc.ServicerContext) -> Generator[OpenCall]:
        """Give a call a place until the block is left; whose place that was is told to end.

        Raises:
            TooManyCalls: if the caller has as many under way as it may, or all together have.
            QuotaExceeded: if it is a watch, and all watches are taken: the caller can do without.
        """
        call = OpenCall(who, kind, context, self._clock)
        with self._changing:
            self._check_own(call)
            giving_way = self._making_room_for(call)
            for other in giving_way:
                other.leaving = True
            self._open[call] = None
        try:
            for other in giving_way:
                error = GaveWay("the center is full and another caller waits; go on in a new call")
                log.info("ending a call of %s %s: %s", other.who.role.value, other.who.name, error)
                end_call(other.context, error)
            yield call
        finally:
            with self._changing:
                del self._open[call]

    def _check_own(self, call: OpenCall) -> None:
        own = [other for other in self._open if other.who == call.who]
        streams = sum(other.is_stream for other in own)
        for count, most, what in (
            (streams, self._limits.streams, "streams"),
            (len(own), self._limits.calls, "calls"),
        ):
            if (call.is_stream or what == "calls") and count >= most:
                raise TooManyCalls(
                    f"{call.who.role.value} {call.who.name} has {most} {what} under way, which is the limit"
                )

    def _making_room_for(self, call: OpenCall) -> list[OpenCall]:
        """Return which calls give way to one."""
        giving_way: list[OpenCall] = []
        if call.is_stream:
            other = self._stream_that_gives_way(call)
            giving_way += [] if other is None else [other]
        unsent = [c for c in self._open if not (c.is_stream or c.leaving) and c.since_s is not None]
        if unsent and len(self._open) >= self._limits.all_calls:
            giving_way.append(_stillest(_of_the_greediest(unsent)))
        return giving_way

    def _stream_that_gives_way(self, call: OpenCall) -> OpenCall | None:
        """Return whose place a stream takes; None where there is a free one.

        Raises:
            TooManyCalls: if there is no place for it.
            QuotaExceeded: if there is no place for a watch.
        """
        limits = self._limits
        streams = [c for c in self._open if c.is_stream]
        going = [c for c in streams if not c.leaving]
        if len(streams) >= limits.all_streams + limits.leaving:
            raise _full(limits.all_streams, Kind.STREAM)
        if call.kind is Kind.WATCH:
            watches = [c for c in going if c.kind is Kind.WATCH]
            if len(watches) >= limits.all_watches:
                greedier = _of_the_greediest(watches, call)
                if not greedier:
                    raise QuotaExceeded(
                        f"{limits.all_watches} streams are watching already, which is the limit"
                    )
                return _stillest(greedier)
        if len(going) < limits.all_streams:
            return None
        candidates = _of_the_greediest(going, call) or self._still_ones(going, call)
        if not candidates:
            raise _full(limits.all_streams, Kind.STREAM)
        return _stillest(candidates)

    def _still_ones(self, going: Iterable[OpenCall], call: OpenCall) -> list[OpenCall]:
        """Return the streams of those who hold as much as the caller does that have let the server wait."""
        held = _held(going, call)
        now_s = self._clock.monotonic_s()
        return [
            c
            for c in going
            if held[c.who] == held[call.who]
            and c.since_s is not None
            and now_s - c.since_s >= self._limits.still_s
        ]


def _held(calls: Iterable[OpenCall], newcomer: OpenCall | None) -> Counter[Identity]:
    held = Counter(call.who for call in calls)
    if newcomer is not None:
        held[newcomer.who] += 1
    return held


def _of_the_greediest(calls: Iterable[OpenCall], newcomer: OpenCall | None = None) -> list[OpenCall]:
    """Return the calls of those who hold the most; none, where that is the newcomer's own caller."""
    held = _held(calls, newcomer)
    most = max(held.values())
    if newcomer is not None and held[newcomer.who] == most:
        return []
    return [call for call in calls if held[call.who] == most]


def _stillest(calls: Iterable[OpenCall]) -> OpenCall:
    return min(calls, key=lambda call: call.moved_s)


def _full(most: int, kind: Kind) -> TooManyCalls:
    return TooManyCalls(f"all callers together have {most} {kind.value} under way, which is the limit")
