"""Whose merge is learned next: a fair share for every site, and within a site the small ones first. Pure.

Between sites by stride scheduling (Waldspurger and Weihl, MIT/LCS/TM-528, 1995, section 2): each site has a
pass value that grows by work / share whenever one of its merges begins, and the site with the least one is
next. A site with 100 merges thus takes turns with one that has a single merge, and who brings large nets
waits as much longer as they take. A site that comes, or comes back, starts where the others are: it can
neither claim the time when it had nothing to do, nor has to make up for it.

Within a site the least work goes first, which makes the mean wait shortest; what a site brought is finite,
so nothing of it waits for ever. Foundings need no rule: nothing is learned for them, they never queue.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, order=True)
class _Place:
    work: float
    position: int
    merge_key: str


@dataclass
class Turns:
    """The merges that wait to be learned.

    Args:
        shares: site -> its share where that is not 1; one of 2 gets twice the work of another done.
    """

    shares: Mapping[str, float] = field(default_factory=dict[str, float])
    _site_of: dict[str, str] = field(default_factory=dict[str, str], init=False)
    _queues: dict[str, list[_Place]] = field(default_factory=dict[str, "list[_Place]"], init=False)
    _passes: dict[str, float] = field(default_factory=dict[str, float], init=False)
    _now: float = field(default=0.0, init=False)

    def __len__(self) -> int:
        return len(self._site_of)

    def __contains__(self, merge_key: str) -> bool:
        return merge_key in self._site_of

    def join(self, merge_key: str, site: str, work: float, position: int) -> None:
        """Queue a merge up; `position` decides between equal work."""
        if merge_key in self._site_of:
            return
        queue = self._queues.setdefault(site, [])
        if not queue:
            self._passes[site] = max(self._now, self._passes.get(site, 0.0))
        heapq.heappush(queue, _Place(work, position, merge_key))
        self._site_of[merge_key] = site

    def leave(self, merge_key: str) -> None:
        """Take a merge out that was cancelled, or has to wait for something else; its site is not charged."""
        site = self._site_of.pop(merge_key, None)
        if site is not None:
            queue = self._queues[site]
            queue[:] = [place for place in queue if place.merge_key != merge_key]
            heapq.heapify(queue)
            self._drop_if_empty(site)

    def first(self) -> str | None:
        """Return the merge whose turn it is, or None where nothing waits."""
        if not self._queues:
            return None
        site = min(self._queues, key=lambda name: (self._passes[name], self._queues[name][0].position))
        return self._queues[site][0].merge_key

    def begin(self, merge_key: str) -> None:
        """Take a merge out because it is being learned now, and charge its site for it."""
        site = self._site_of.get(merge_key)
        if site is None:
            return
        work = next(place.work for place in self._queues[site] if place.merge_key == merge_key)
        self._now = max(self._now, self._passes[site])
        self._passes[site] += max(work, 1.0) / self.shares.get(site, 1.0)
        self.leave(merge_key)

    def _drop_if_empty(self, site: str) -> None:
        if not self._queues[site]:
            del self._queues[site]
