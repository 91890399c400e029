"""A thread beside the serving: clears abandoned uploads, and what killed writers left in the store."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from central.servicers.lookout import Lookout
from central.usecases.reap import reap_abandoned
from transplant.errors import TransplantError

if TYPE_CHECKING:
    from collections.abc import Callable

    from central.usecases.center import Center

log = logging.getLogger(__name__)

_EVERY_S = 3600.0


class Reaper:
    """Frees what sites left behind, so that a quota is not used up by what nobody will finish.

    Args:
        center: ports and policy; its clock says how old something is.
        clear_store: removes what killed writers left in the store, and says how many files that were.
        every_s: pause between two rounds.
    """

    def __init__(self, center: Center, clear_store: Callable[[], int], every_s: float | None = None) -> None:
        self._center = center
        self._clear_store = clear_store
        self._lookout = Lookout("reaper", self._round, _EVERY_S if every_s is None else every_s)

    def start(self) -> None:
        """Clear the store at once, and begin with the rounds."""
        self._round()
        self._lookout.start()

    def stop(self) -> None:
        """End the thread; harmless where it never began."""
        self._lookout.close()

    def _round(self) -> None:
        try:
            uploads, files = reap_abandoned(self._center), self._clear_store()
        except (TransplantError, OSError) as error:
            log.warning("what sites left behind is not cleared at the moment: %s", error)
            return
        if uploads or files:
            log.info("cleared %d abandoned uploads, %d unfinished files of the store", uploads, files)
