"""How long the server waits for a caller: for its next message, or until it has read ours.

The time is taken from message to message. A sender that sends a byte now and then gains nothing by it, and
a server that is busy itself, or has no news to tell, costs the caller nothing.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from central.servicers.lookout import Lookout
from transplant.errors import CallerIdle
from transplant.rpc.status import end_call

if TYPE_CHECKING:
    from collections.abc import Generator

    import grpc

    from transplant.ports.clock import Clock

log = logging.getLogger(__name__)


class Wait:
    """One call's wait: entered whenever it is the caller's turn. Made by `Patience.with_caller`."""

    def __init__(self, context: grpc.ServicerContext, clock: Clock) -> None:
        self.context = context
        self.since_s: float | None = None
        self._clock = clock

    def __enter__(self) -> None:
        """The caller's turn begins."""
        self.since_s = self._clock.monotonic_s()

    def __exit__(self, *_: object) -> None:
        """The caller has done its part, or has gone."""
        self.since_s = None


class Patience:
    """Ends calls whose caller has kept the server waiting for too long.

    Args:
        idle_s: how long that is.
        clock: the center's.
    """

    def __init__(self, idle_s: float, clock: Clock) -> None:
        self._idle_s = idle_s
        self._clock = clock
        self._waits: set[Wait] = set()
        self._changing = threading.Lock()
        self._lookout = Lookout("patience", self.look)

    def start(self) -> None:
        """Begin to look."""
        self._lookout.start()

    def close(self) -> None:
        """Stop looking; calls that still wait are not touched."""
        self._lookout.close()

    @contextmanager
    def with_caller(self, context: grpc.ServicerContext) -> Generator[Wait]:
        """Look after a call until the block is left."""
        wait = Wait(context, self._clock)
        with self._changing:
            self._waits.add(wait)
        try:
            yield wait
        finally:
            with self._changing:
                self._waits.discard(wait)

    @property
    def waiting(self) -> int:
        """How many calls wait for their callers now."""
        with self._changing:
            return sum(wait.since_s is not None for wait in self._waits)

    def look(self) -> None:
        """End every call whose caller has kept it waiting for longer than `idle_s`."""
        now_s = self._clock.monotonic_s()
        with self._changing:
            waits = tuple(self._waits)
        for wait in waits:
            since_s = wait.since_s  # once: the call's own thread changes it meanwhile
            if since_s is not None and now_s - since_s > self._idle_s:
                error = CallerIdle(f"nothing was sent or read for {self._idle_s:g} s; go on in a new call")
                log.info("ending a call: %s", error)
                end_call(wait.context, error)
