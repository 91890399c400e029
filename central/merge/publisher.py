"""When what is accepted becomes a version of the net: together, and not too often."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from central.merge.pace import Pace
from central.usecases.publish_accepted import publish_accepted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from central.registry.values import StoredMerge
    from central.usecases.center import Center

_VERSION_S = 5.0  # between publications while merges queue up


class Publisher:
    """A publication looks at the whole net, so it is paced: what is accepted meanwhile joins the net with it.

    Args:
        center: ports and policy.
    """

    def __init__(self, center: Center) -> None:
        self._center = center
        self._pace = Pace(center.clock)

    def wait_s(self, *, queueing: bool) -> float:
        """Return how long to wait for the next publication; 0 or less: not at all.

        Args:
            queueing: whether merges queue up for the engine; nobody waits for a single one then.
        """
        return self._pace.wait_s(_VERSION_S if queueing else 0.0)

    def publish(
        self, accepted: Sequence[StoredMerge], still_open: Collection[StoredMerge], *, queueing: bool
    ) -> frozenset[str]:
        """Publish in one version what can be; return the keys of those that have to wait.

        The tasks that a teacher brings along join together.

        Args:
            accepted: merges that may join.
            still_open: all that have not ended, these among them.
            queueing: whether merges queue up for the engine.
        """
        ready = [merge for merge in accepted if _is_whole(merge, still_open)]
        due = self.wait_s(queueing=queueing) <= 0
        if not ready or (not due and len(ready) < len(still_open)):
            return frozenset()
        units: defaultdict[str, list[str]] = defaultdict(list)
        for merge in ready:
            units[merge.teacher_id if merge.task.identity else merge.task.key].append(merge.task.key)
        with self._pace:
            return publish_accepted(self._center, tuple(units.values()))


def _is_whole(merge: StoredMerge, still_open: Collection[StoredMerge]) -> bool:
    """Tell whether all that has to join the net with this merge is accepted."""
    if not merge.task.identity:
        return True
    together = [m for m in still_open if m.task.identity and m.teacher_id == merge.teacher_id]
    return all(each.status.accepted for each in together)
