"""Hears from the center that something moved, so that a waiting site need not ask again and again."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from transplant.errors import TransplantError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Protocol

    from transplant.rpc.messages import Event

    class Watched(Protocol):
        """What is needed of a connection to the center."""

        def watch_events(self, after: int = 0) -> Iterator[Event]:
            """Yield the center's events for ever."""
            ...


log = logging.getLogger(__name__)

_LOOK_S = 0.2


class News:
    """A thread that listens; `wait` returns as soon as it heard anything.

    News only shorten a pause: a center that cannot be listened to (it is away, too many listen already)
    is asked after every pause all the same.

    Args:
        client: the connection; closing it ends the thread.
        again_s: pause before listening again after a refusal.
    """

    def __init__(self, client: Watched, again_s: float = 30.0) -> None:
        self._client = client
        self._again_s = again_s
        self._heard = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="news", daemon=True)

    def __enter__(self) -> News:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()

    def wait(self, longest_s: float, stopped: threading.Event) -> None:
        """Pause until there is news, at most `longest_s`; end early when `stopped` is set."""
        ends_s = time.monotonic() + longest_s
        while not stopped.is_set() and time.monotonic() < ends_s:
            if self._heard.wait(min(_LOOK_S, longest_s)):
                break
        self._heard.clear()  # before the center is asked: what moves from now on is news again

    def _listen(self) -> None:
        seen = 0
        while not self._closed.is_set():
            try:
                for event in self._client.watch_events(seen):
                    seen = event.event_id
                    self._heard.set()
                    if self._closed.is_set():
                        return
            except TransplantError as error:
                if self._closed.is_set():
                    return
                log.info("no news from the center (%s); listening again in %.0f s", error, self._again_s)
            self._closed.wait(self._again_s)
