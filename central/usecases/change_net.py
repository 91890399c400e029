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


def roll_back(
    center: Center, number: int, category: str | None = None, task: Task | None = None
) -> NetVersion:
    """Publish a version with the very routes of an earlier one, or with some of them; return it.

    Args:
        center: ports and policy.
        number: of the earlier version.
        category: whose routes come back; None: all, and what that version did not have leaves.
        task: only the category's route of this task. What is not named stays as it is.

    Raises:
        NotFound: if there is no version of this number, or it has no such route.
        MergeNotPossible: if the newest version has these routes already, or a task is named without category.
        ForgettingDetected: if a route does not answer as it did when it was published.
    """
    if task is not None and category is None:
        raise MergeNotPossible("name the category, too, whose route of this task is to come back")
    with center.registry.read() as books:
        wanted = books.versions.get(number)
        order = _order(books)
    chosen = [r for r in wanted.routes if category in (None, r.category) and task in (None, r.task)]
    what = "" if category is None else f" of {category[:80]}" + ("" if task is None else f"/{task.value}")
    if not chosen:
        raise NotFound(f"version {number} has no route{what}")
    places = {(route.category, route.task) for route in chosen}

    def change_of(base: NetVersion) -> VersionChange:
        stays = [] if category is None else [r for r in base.routes if (r.category, r.task) not in places]
        routes = tuple(sorted([*stays, *chosen], key=lambda route: order.get(route.merge_key, len(order))))
        if base.routes == routes:
            raise MergeNotPossible(f"version {base.number} has the routes{what} of version {number} already")
        old = {route.merge_key for route in base.routes}
        new = {route.merge_key for route in routes}
        return VersionChange(
            base,
            following(base, routes),
            dropped=tuple(route.merge_key for route in base.routes if route.merge_key not in new),
            returned=tuple(route.merge_key for route in routes if route.merge_key not in old),
        )

    def tell(books: Books, change: VersionChange) -> None:
        told: dict[str, object] = {"number": change.version.number}
        told |= {"dropped": change.dropped, "returned": change.returned}
        told |= {} if category is None else {"category": category}
        books.audit.append(CONSOLE, Action.VERSION_ROLLED_BACK, str(number), **told)

    return _published(center, change_of, tell)


def _order(books: Books) -> dict[str, int]:
    """Return the place of every route that ever was: a version's routes stand as they first came."""
    every = (route.merge_key for version in books.versions.after(0) for route in version.routes)
    return {merge_key: place for place, merge_key in enumerate(dict.fromkeys(every))}


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
