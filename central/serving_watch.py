"""A thread beside the serving: keeps the registry's lock, notes the audit log's head and that it serves."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from transplant.errors import AlreadyServing, TransplantError

if TYPE_CHECKING:
    from collections.abc import Callable

    from central.audit.noted_head import HeadNotes
    from central.registry.serving_lock import ServingLock

log = logging.getLogger(__name__)

_EVERY_S = 2.0


class ServingWatch:
    """Looks after what must stay true while a center serves.

    Args:
        lock: held already.
        notes: started already.
        give_up: called when another center has taken the lock, once: this one has to stop.
        every_s: pause between two looks. Entries newer than that are not noted when a center is killed.
        alive: called at each look, to note that this center still serves.
    """

    def __init__(
        self,
        lock: ServingLock,
        notes: HeadNotes,
        give_up: Callable[[], None],
        every_s: float | None = None,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._lock = lock
        self._notes = notes
        self._give_up = give_up
        self._alive = alive
        self._every_s = _EVERY_S if every_s is None else every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="serving-watch")
        self.lost: AlreadyServing | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; harmless where it never began."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        trouble = ""
        while not self._stop.wait(self._every_s):
            try:
                self._lock.keep()
                self._notes.note()
                self._alive()
                trouble = ""
            except AlreadyServing as error:
                log.error("giving up: %s", error)  # noqa: TRY400 - no bug of ours
                self.lost = error
                self._give_up()
                return
            except TransplantError as error:
                if trouble != error.code():
                    log.warning("the registry is not watched at the moment: %s", error)
                trouble = error.code()
