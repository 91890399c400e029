"""What an operator takes out of the net, or brings back: each a new version, for numbers only go up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.registry.audit_book import CONSOLE, Action
from central.registry.events_book import ROUTE_RETIRED, ROUTE_RETURNED
from central.usecases.append_version import VersionChange, append_version, following
from transplant.errors import MergeNotPossible, NotFound, RegistryConflict

if TYPE_CHECKING:
    from collections.abc import Callable

    from central.registry.registry import Books
    from central.usecases.center import Center
    from transplant.types import NetVersion, Task

_TRIES = 5


def retire_routes(center: Center, category: str, task: Task | None = None) -> NetVersion:
    """Publish a version without the routes of a category, or without one of them; return it.

    Nothing is deleted: earlier versions keep the routes, and `roll_back` brings them back. The teacher's
    merges stay published, so that the planner does not add them again; a newer teacher of the site would be.

    Raises:
        NotFound: if the net has no such route.
        MergeNotPossible: if no other route would be left.
        ForgettingDetected: if the store no longer holds what was published.
    """

    def change_of(base: NetVersion) -> VersionChange:
        gone = [r for r in base.routes if r.category == category and task in (None, r.task)]
        if not gone:
            what = category if task is None else f"{category}/{task.value}"
            raise NotFound(f"version {base.number} has no route of {what[:80]}")
        keys = tuple(route.merge_key for route in gone)
        kept = tuple(route for route in base.routes if route.merge_key not in keys)
        if not kept:
            raise MergeNotPossible("these are the net's last routes: a net without any is none")
        return VersionChange(base, following(base, kept), dropped=keys)

    def tell(books: Books, change: VersionChange) -> None:
        asked = {} if task is None else {"task": task.value}
        number, keys = change.version.number, list(change.dropped)
        books.audit.append(CONSOLE, Action.ROUTES_RETIRED, category, number=number, routes=keys, **asked)

    return _published(center, change_of, tell)


def roll_back(center: Center, number: int) -> NetVersion:
    """Publish a version with the very routes of an earlier one; return it.

    Raises:
        NotFound: if there is no version of this number.
        MergeNotPossible: if the newest version has these routes already.
        ForgettingDetected: if a route does not answer as it did when it was published.
    """
    with center.registry.read() as books:
        wanted = books.versions.get(number)

    def change_of(base: NetVersion) -> VersionChange:
        if base.routes == wanted.routes:
            raise MergeNotPossible(f"version {base.number} has the routes of version {number} already")
        old = {route.merge_key for route in base.routes}
        new = {route.merge_key for route in wanted.routes}
        return VersionChange(
            base,
            following(base, wanted.routes),
            dropped=tuple(route.merge_key for route in base.routes if route.merge_key not in new),
            returned=tuple(route.merge_key for route in wanted.routes if route.merge_key not in old),
        )

    def tell(books: Books, change: VersionChange) -> None:
        told = {"number": change.version.number, "dropped": change.dropped, "returned": change.returned}
        books.audit.append(CONSOLE, Action.VERSION_ROLLED_BACK, str(number), **told)

    return _published(center, change_of, tell)


def _published(
    center: Center,
    change_of: Callable[[NetVersion], VersionChange],
    tell: Callable[[Books, VersionChange], None],
) -> NetVersion:
    """Publish a change of the newest version, whichever that is: a center may publish beside us."""
    left = _TRIES
    while True:
        with center.registry.read() as books:
            change = change_of(books.versions.get())

        def record(books: Books, change: VersionChange = change) -> bool:
            tell(books, change)
            _tell_watchers(center, books, change)
            return True

        try:
            append_version(center, change, record, actor=CONSOLE)
        except RegistryConflict:
            left -= 1
            if not left:
                raise
        else:
            return change.version


def _tell_watchers(center: Center, books: Books, change: VersionChange) -> None:
    now, number = center.clock.now(), change.version.number
    base = () if change.base is None else change.base.routes
    for kind, routes, keys in (
        (ROUTE_RETIRED, base, change.dropped),
        (ROUTE_RETURNED, change.version.routes, change.returned),
    ):
        for route in routes:
            if route.merge_key in keys:
                told = f"{route.task.value}, version {number}"
                books.events.add(kind, route.merge_key, now, category=route.category, detail=told)
