"""A bell that says "something was committed": the merge loop and every watcher listen."""

from __future__ import annotations

import threading


class Bell:
    """Counts rings, so that a listener who was busy does not miss one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rings = 0

    def ring(self) -> None:
        """Wake every listener."""
        with self._changed:
            self._rings += 1
            self._changed.notify_all()

    @property
    def rings(self) -> int:
        """How often it rang so far."""
        return self._rings

    def wait(self, heard: int, timeout_s: float) -> int:
        """Wait for a ring after the first `heard` ones, or for the timeout; return the count."""
        with self._changed:
            self._changed.wait_for(lambda: self._rings > heard, timeout_s)
            return self._rings
