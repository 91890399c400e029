"""Publish accepted routes: each joins the net, or takes the place of the one that its site had there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from central.merge.events import PublicationRefused, VersionPublished
from central.registry.events_book import ROUTE_REPLACED
from central.usecases.append_version import VersionChange, append_version, following
from central.usecases.move_merge import move_merge
from central.usecases.read_merges import replaced_by, route_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from central.registry.registry import Books
    from central.registry.values import StoredMerge
    from central.usecases.center import Center
    from transplant.types import NetVersion

log = logging.getLogger(__name__)


def publish_version(center: Center, merge_keys: Sequence[str]) -> NetVersion | None:
    """Add the routes of accepted merges to a new version of the net; return it.

    A route of the same category and task that is published already (of the site's earlier teacher, or of
    another one's) was beside it until now, and is no part of the new version; earlier versions keep it.
    Merges that are published already, cancelled or not accepted are left out; where none is left,
    nothing happens and None is returned. One caller at a time (the merge loop) publishes.

    Raises:
        ForgettingDetected: if something of the net is not as it was published; nothing is published then.
            That is never the newcomers' doing, for all that is held to a record is older than they are.
        RegistryDamaged: if a module cannot be read.
    """
    with center.registry.read() as books:
        found = [m for m in map(books.merges.get, merge_keys) if m.status.accepted and not m.status.ended]
        base = books.versions.newest()
    found = [merge for merge in found if not _outlived(center, base, merge)]
    merges = list({(merge.task.category, merge.task.task): merge for merge in found}.values())
    if not merges:
        return None
    change = _change(base, merges)
    version = change.version

    def record(books: Books) -> bool:
        still = [books.merges.get(merge.task.key).status for merge in merges]
        if any(status.ended or not status.accepted for status in still):
            return False  # cancelled meanwhile: the loop comes back for the others
        now = center.clock.now()
        for merge in merges:
            move_merge(center, books, merge.task.key, VersionPublished(version.number))
        for route in () if base is None else base.routes:
            if route.merge_key in change.dropped:
                told = f"{route.task.value}, version {version.number}"
                books.events.add(ROUTE_REPLACED, route.merge_key, now, category=route.category, detail=told)
        return True

    told = {"merges": [merge.task.key for merge in merges]}
    if not append_version(center, change, record, told=told | _replaced(change)):
        return None
    log.info("published version %d with %d routes", version.number, len(version.routes))
    return version


def _outlived(center: Center, base: NetVersion | None, merge: StoredMerge) -> bool:
    """Tell whether a route comes too late, and refuse it then.

    A refined one where what it came from left the net; an unmeasured one where another took its place.
    """
    of = merge.task.refined_from
    reason = ""
    if of and (base is None or all(route.merge_key != of for route in base.routes)):
        reason = "the route that was refined is not in the net any more"
    elif not merge.task.identity and merge.status.unanswered and replaced_by(base, merge) is not None:
        reason = "it has no verdict, and a route was published meanwhile whose place it would take"
    if not reason:
        return False
    with center.registry.write() as books:
        move_merge(center, books, merge.task.key, PublicationRefused(reason))
    center.bell.ring()
    return True


def _replaced(change: VersionChange) -> dict[str, list[str]]:
    return {"replaced": list(change.dropped)} if change.dropped else {}


def _change(base: NetVersion | None, merges: Sequence[StoredMerge]) -> VersionChange:
    routes = tuple(map(route_of, merges))
    places = {(route.category, route.task) for route in routes}
    old = () if base is None else base.routes
    dropped = tuple(route.merge_key for route in old if (route.category, route.task) in places)
    kept = tuple(route for route in old if (route.category, route.task) not in places)
    return VersionChange(base, following(base, kept + routes), dropped)
