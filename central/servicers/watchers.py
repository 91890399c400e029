"""Watch streams: each holds a thread of the server, so their number is bounded and all end at shutdown."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from transplant.errors import QuotaExceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import grpc


class Watchers:
    """Counts the watch streams of a server.

    Args:
        most: how many there may be; the rest of the threads stays free for other calls.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._free = threading.Semaphore(most)
        self._closing = threading.Event()

    @contextmanager
    def going(self, context: grpc.ServicerContext) -> Generator[Callable[[], bool]]:
        """Take a place and yield a test that says whether the stream shall go on.

        Raises:
            QuotaExceeded: if every place is taken.
        """
        if not self._free.acquire(blocking=False):
            raise QuotaExceeded(f"{self._most} streams are watching already, which is the limit")
        try:
            yield lambda: context.is_active() and not self._closing.is_set()
        finally:
            self._free.release()

    def close(self) -> None:
        """End every stream at its next look."""
        self._closing.set()
