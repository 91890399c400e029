"""Open streams: each is let on only as long as the same call would still be let in.

A call's rights are checked when it starts; a stream may outlive its certificate, its revocation or its
site's category. So every open stream is looked at again every few seconds, and ended with the status that
a new call would get. It does not matter what the stream waits for: a sender that is silent, a receiver that
does not read, or an event that never comes.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from central.servicers.lookout import Lookout
from transplant.errors import TransplantError
from transplant.rpc.status import end_call

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import grpc

    from central.identity.peer import Peer
    from transplant.ports.clock import Clock

log = logging.getLogger(__name__)

CHECK_EVERY_S = 5.0
UNCHECKED_S = 25.0
"""How long a stream may go on while its rights cannot be looked up: no longer than a lost right may last."""


@dataclass(eq=False)
class OpenStream:
    """A stream that lasts.

    Attributes:
        method: full name of the RPC.
        peer: who called.
        context: the call.
        subject: id of what the stream is about, once its first message has said so; "" until then.
        checked_s: when its rights were last known to hold, on the center's monotonic clock.
    """

    method: str
    peer: Peer
    context: grpc.ServicerContext
    subject: str = ""
    checked_s: float = 0.0


class OpenStreams:
    """Every stream of a server that is open now.

    Args:
        check: raises if a stream's call would be refused by now.
        clock: the center's.
    """

    def __init__(self, check: Callable[[OpenStream], None], clock: Clock) -> None:
        self._check = check
        self._clock = clock
        self._open: set[OpenStream] = set()
        self._changing = threading.Lock()
        self._due_s = 0.0
        self._lookout = Lookout("open-streams", self._look_when_due)

    def start(self) -> None:
        """Begin to look."""
        self._due_s = self._clock.monotonic_s() + CHECK_EVERY_S
        self._lookout.start()

    def close(self) -> None:
        """Stop looking; streams that are still open are not touched."""
        self._lookout.close()

    @contextmanager
    def lasting(self, stream: OpenStream) -> Generator[None]:
        """Look after a stream whose rights have just been checked, until the block is left."""
        stream.checked_s = self._clock.monotonic_s()
        with self._changing:
            self._open.add(stream)
        try:
            yield
        finally:
            with self._changing:
                self._open.discard(stream)

    @property
    def open(self) -> tuple[OpenStream, ...]:
        """Return what is open now."""
        with self._changing:
            return tuple(self._open)

    def look(self) -> None:
        """Check every open stream once; end those whose caller has lost the right to it."""
        away: TransplantError | None = None  # the registry does not answer: asking for each would take ages
        for stream in self.open:
            now_s = self._clock.monotonic_s()
            try:
                if away is None:
                    self._check(stream)
                    stream.checked_s = now_s
                    continue
                error = away
            except TransplantError as fault:
                error = fault
            if error.retry:
                away = error
                if now_s - stream.checked_s < UNCHECKED_S:
                    continue
            log.info("ending %s: %s: %s", stream.method, error.code(), error)
            end_call(stream.context, error)

    def _look_when_due(self) -> None:
        if self._clock.monotonic_s() < self._due_s:
            return
        try:
            self.look()
        finally:
            self._due_s = self._clock.monotonic_s() + CHECK_EVERY_S
