"""A thread that looks at what is under way on a server, again and again, until the server closes."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_TICK_S = 0.2  # of the machine's time: how soon the center's clock is seen to have moved on


class Lookout:
    """Calls `look` at every tick. A look that fails is logged: the thread must outlive a bug.

    Args:
        name: of the thread, for the log.
        look: looks once.
        every_s: pause between two looks.
    """

    def __init__(self, name: str, look: Callable[[], None], every_s: float = _TICK_S) -> None:
        self._look = look
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking; what is under way is not touched."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            try:
                self._look()
            except Exception:
                log.exception("%s: a look failed", self._thread.name)
