"""Watch streams have no end of their own: each goes on until its caller leaves or the server stops."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc


class Watchers:
    """Tells the watch streams of a server when to end. How many there may be, `call_limits` says."""

    def __init__(self) -> None:
        self._closing = threading.Event()

    def going(self, context: grpc.ServicerContext) -> Callable[[], bool]:
        """Return a test that says whether a stream shall go on."""
        return lambda: context.is_active() and not self._closing.is_set()

    def close(self) -> None:
        """End every stream at its next look."""
        self._closing.set()
