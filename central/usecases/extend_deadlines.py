"""A site's time for its verdict does not run while there is nobody to tell it to."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from central.merge.events import CenterReturned
from central.usecases.move_merge import move_merge
from transplant.types import MergeState

if TYPE_CHECKING:
    from central.usecases.center import Center

log = logging.getLogger(__name__)


def extend_deadlines(center: Center, last_served: datetime | None) -> int:
    """Move the deadlines of open candidates by the time in which no center served; return how many.

    Called before anything looks at the clock.

    Args:
        center: ports and policy.
        last_served: when a center served last; None: nobody noted it (a home of an earlier release, or a
            restored one), and the audit log's newest entry stands for it.
    """
    count, now = 0, center.clock.now()
    with center.registry.write() as books:
        if last_served is None:
            newest = books.audit.last(1)
            last_served = _time_of(newest[0].at) or now if newest else now
        away_s = (now - last_served).total_seconds()
        for merge in books.merges.list(open_only=True) if away_s > 0 else ():
            if merge.status.state is MergeState.VALIDATING and not merge.status.accepted:
                move_merge(center, books, merge.task.key, CenterReturned(away_s))
                count += 1
    if count:
        log.info("no center served for %.0f s: %d candidates may be answered as much later", away_s, count)
    return count


def _time_of(written: str) -> datetime | None:
    try:
        return datetime.fromisoformat(written)
    except ValueError:
        return None  # somebody changed the log: `audit verify` says so, and this is not the place to
