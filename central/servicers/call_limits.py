"""How many calls one caller, and all callers together, may have under way, and for how long they may wait."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_STILL_S = 5.0


class Kind(Enum):
    """What a call is to the limits; the value is its name in messages."""

    PLAIN = "calls"
    STREAM = "streams"
    WATCH = "watches"


@dataclass(frozen=True)
class CallLimits:
    """What may be under way at once. The bounds of all leave threads to calls that come and go.

    Attributes:
        streams: of one identity: uploads, downloads and watches.
        calls: of one identity: all calls, streams among them.
        idle_s: how long a call may wait for its caller to send, or to read.
        all_streams: of all identities: streams that go on.
        leaving: streams of all identities beyond those that were told to end and have not yet.
        all_watches: of all identities, within their streams.
        all_calls: calls of all identities from which on a plain call whose request has not come gives way.
        still_s: how long a stream may wait for its caller where another one asks for its place.
    """

    streams: int
    calls: int
    idle_s: float
    all_streams: int
    leaving: int
    all_watches: int
    all_calls: int
    still_s: float

    @classmethod
    def of(cls, threads: int, streams: int = 32, idle_s: float = 120.0) -> CallLimits:
        """Return limits under which one identity leaves a third of the server's threads to others.

        A quarter of the threads is kept from streams; half of it may be lent to those that are leaving.

        Args:
            threads: of the server, at least 4.
            streams: that one identity may have; fewer, where the threads are few.
            idle_s: see there.
        """
        streams = min(streams, max(1, threads // 2 - 1))
        kept = max(2, threads // 4)
        return cls(
            streams=streams,
            calls=streams + max(1, threads // 8),
            idle_s=idle_s,
            all_streams=threads - kept,
            leaving=kept // 2,
            all_watches=threads // 2,
            all_calls=threads - max(1, kept // 4),
            still_s=min(_STILL_S, idle_s / 4),
        )
