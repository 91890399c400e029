"""How long the server waits for a caller: for its next message, or until it has read ours.

The time is taken from message to message. A sender that sends a byte now and then gains nothing by it, and
a server that is busy itself, or has no news to tell, costs the caller nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from central.servicers.lookout import Lookout
from transplant.errors import CallerIdle
from transplant.rpc.status import end_call

if TYPE_CHECKING:
    from central.servicers.open_calls import OpenCalls
    from transplant.ports.clock import Clock

log = logging.getLogger(__name__)


class Patience:
    """Ends calls whose caller has kept the server waiting for too long.

    Args:
        calls: those of the server.
        idle_s: how long that is.
        clock: the center's.
    """

    def __init__(self, calls: OpenCalls, idle_s: float, clock: Clock) -> None:
        self._calls = calls
        self._idle_s = idle_s
        self._clock = clock
        self._lookout = Lookout("patience", self.look)

    def start(self) -> None:
        """Begin to look."""
        self._lookout.start()

    def close(self) -> None:
        """Stop looking; calls that still wait are not touched."""
        self._lookout.close()

    @property
    def waiting(self) -> int:
        """How many calls wait for their callers now."""
        return sum(call.since_s is not None for call in self._calls.all)

    def look(self) -> None:
        """End every call whose caller has kept it waiting for longer than `idle_s`."""
        now_s = self._clock.monotonic_s()
        for call in self._calls.all:
            since_s = call.since_s  # once: the call's own thread changes it meanwhile
            if since_s is not None and now_s - since_s > self._idle_s:
                error = CallerIdle(f"nothing was sent or read for {self._idle_s:g} s; go on in a new call")
                log.info("ending a call: %s", error)
                end_call(call.context, error)
