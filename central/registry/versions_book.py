"""Published versions: append-only, numbered without a gap, each with the proof that nothing was forgotten.

A version is kept as what changed against the one before it: routes that came, left, or came back. So any of
them can be rebuilt byte for byte, and a net of ten thousand routes does not cost ten thousand rows a version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, insert, select

from central.registry.tables import (
    ForgettingCheckRow,
    ProbeDigestRow,
    RouteChangeRow,
    RouteRow,
    VersionRow,
    table_of,
)
from central.registry.values import Comparison
from transplant.artifact.net_document import net_digest
from transplant.errors import NotFound, RegistryConflict
from transplant.types import NetVersion, Route, Task

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import Insert, Row
    from sqlalchemy.orm import Session


_VERSIONS, _ROUTES, _CHANGES = table_of(VersionRow), table_of(RouteRow), table_of(RouteChangeRow)
_CHECKS, _DIGESTS = table_of(ForgettingCheckRow), table_of(ProbeDigestRow)
_NEWEST_NUMBER = select(func.max(_VERSIONS.c.number))
_ONE = select(_VERSIONS.c.number, _VERSIONS.c.parent_digest).where(_VERSIONS.c.number == bindparam("wanted"))
_ROUTE = (
    _ROUTES.c.version_number,
    _ROUTES.c.category,
    _ROUTES.c.task,
    _ROUTES.c.category_module,
    _ROUTES.c.adapter,
    _ROUTES.c.task_module,
    _ROUTES.c.merge_key,
    _ROUTES.c.supervised_by,
)
_CAME = select(*_ROUTE).where(_ROUTES.c.version_number <= bindparam("wanted")).order_by(_ROUTES.c.position)
_LEFT = (
    select(_CHANGES.c.version_number, _CHANGES.c.merge_key, _CHANGES.c.present)
    .where(_CHANGES.c.version_number <= bindparam("wanted"))
    .order_by(_CHANGES.c.version_number)
)
_LAST = select(func.max(_ROUTES.c.position))
_KNOWN = select(_DIGESTS.c.merge_key, _DIGESTS.c.logits_sha256).where(
    _DIGESTS.c.numerics == bindparam("numerics")
)
_ADD, _ADD_ROUTES, _ADD_CHANGES = insert(_VERSIONS), insert(_ROUTES), insert(_CHANGES)
_ADD_CHECKS, _ADD_DIGESTS = insert(_CHECKS), insert(_DIGESTS)


class VersionsBook:
    """Versions and routes, within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def newest_number(self) -> int:
        """Return the number of the newest version, 0 before the founding."""
        return self._session.scalar(_NEWEST_NUMBER) or 0

    def get(self, number: int = 0) -> NetVersion:
        """Return a version (0: the newest).

        Raises:
            NotFound: if there is no such version.
        """
        newest = self.newest_number()
        wanted = number or newest
        if not 0 < wanted <= newest:  # callers say anything
            message = f"no version {wanted}" if wanted else "the net has not been founded yet"
            raise NotFound(message)
        row = self._session.execute(_ONE, {"wanted": wanted}).one()
        return _rebuilt(row, self._routes(wanted), self._changes(wanted))

    def newest(self) -> NetVersion | None:
        """Return the newest version, or None before the founding."""
        try:
            return self.get()
        except NotFound:
            return None

    def after(self, number: int) -> tuple[NetVersion, ...]:
        """Return every version with a higher number."""
        newest = self.newest_number()
        if number >= newest:
            return ()
        query = select(_VERSIONS.c.number, _VERSIONS.c.parent_digest).where(_VERSIONS.c.number > number)
        rows = self._session.execute(query.order_by(_VERSIONS.c.number))
        routes, changes = self._routes(newest), self._changes(newest)
        return tuple(_rebuilt(row, routes, changes) for row in rows)

    def publish(
        self,
        version: NetVersion,
        at: datetime,
        *,
        dropped: Collection[str] = (),
        returned: Collection[str] = (),
    ) -> None:
        """Append a version: the newest one's routes but for those that are dropped, and those that come.

        Args:
            version: what to publish; its routes stand in the order in which they first came.
            at: when.
            dropped: merge keys of the newest version's routes that are no part of this one.
            returned: merge keys of routes of earlier versions that are part of it again.

        Raises:
            RegistryConflict: if it is not the successor of the newest version, or changes other routes than
                it says.
        """
        newest = self.newest()
        parent = None if newest is None else net_digest(newest)
        old = {route.merge_key: route for route in (() if newest is None else newest.routes)}
        gone, back = set(dropped), set(returned)
        keys = [route.merge_key for route in version.routes]
        fresh = [route for route in version.routes if route.merge_key not in old.keys() | back]
        names = {(route.category, route.task) for route in version.routes}
        kept = tuple(route for route in version.routes if route.merge_key in old)
        continues = (
            version.number == (0 if newest is None else newest.number) + 1
            and version.parent_digest == parent
            and kept == tuple(route for key, route in old.items() if key not in gone)
            and gone <= old.keys()
            and back <= set(keys) - old.keys()
            and bool(gone or back or fresh)
            and len(names) == len(set(keys)) == len(keys) > 0
        )
        if not continues:
            raise RegistryConflict(f"version {version.number} does not continue version {version.number - 1}")
        row = {
            "number": version.number,
            "digest": net_digest(version),
            "parent_digest": version.parent_digest,
            "published_at": at,
        }
        self._session.execute(_ADD, row)
        self._add_routes(version.number, fresh)
        changed = [*((key, False) for key in dropped), *((key, True) for key in returned)]
        self._add_all(
            _ADD_CHANGES,
            (
                {"version_number": version.number, "merge_key": merge_key, "present": present}
                for merge_key, present in changed
            ),
        )
        if self.get(version.number) != version:
            raise RegistryConflict(f"version {version.number} could not be rebuilt from what would be kept")

    def changes(self, merge_key: str) -> tuple[tuple[int, bool], ...]:
        """Return the versions with which a route left (False) or came back (True), oldest first."""
        query = (
            select(RouteChangeRow.version_number, RouteChangeRow.present)
            .where(RouteChangeRow.merge_key == merge_key)
            .order_by(RouteChangeRow.version_number)
        )
        return tuple((number, present) for number, present in self._session.execute(query))

    def first_number(self, merge_key: str) -> int:
        """Return the version that a route first came with, 0 where it never did."""
        query = select(RouteRow.version_number).where(RouteRow.merge_key == merge_key)
        return self._session.scalar(query) or 0

    def published_modules(self) -> frozenset[str]:
        """Return the ids of all modules that any version was made of: what was published stays readable."""
        columns = (RouteRow.category_module, RouteRow.adapter, RouteRow.task_module)
        rows = self._session.execute(select(*columns).distinct())
        return frozenset(module_id for row in rows for module_id in row if module_id is not None)

    def published_at(self, number: int) -> datetime:
        """Return when a version was published.

        Raises:
            NotFound: if there is no such version.
        """
        at = self._session.scalar(select(VersionRow.published_at).where(VersionRow.number == number))
        if at is None:
            raise NotFound(f"no version {number}")
        return at

    def _add_routes(self, number: int, routes: Iterable[Route]) -> None:
        last = self._session.scalar(_LAST) or 0
        self._add_all(
            _ADD_ROUTES,
            (
                {
                    "merge_key": route.merge_key,
                    "version_number": number,
                    "position": position,
                    "category": route.category,
                    "task": route.task.value,
                    "category_module": route.category_module,
                    "adapter": route.adapter,
                    "task_module": route.task_module,
                    "supervised_by": route.supervised_by or None,
                }
                for position, route in enumerate(routes, start=last + 1)
            ),
        )

    def _add_all(self, statement: Insert, rows: Iterable[dict[str, Any]]) -> None:
        if told := list(rows):
            self._session.execute(statement, told)

    def _routes(self, number: int) -> tuple[tuple[int, Route], ...]:
        """Return every route that came up to a version, with the version it came with, in their order."""
        rows = self._session.execute(_CAME, {"wanted": number})
        return tuple((row[0], _route(row)) for row in rows)

    def _changes(self, number: int) -> tuple[tuple[int, str, bool], ...]:
        rows = self._session.execute(_LEFT, {"wanted": number})
        return tuple((came, key, present) for came, key, present in rows)

    def probe_digests(self, numerics: str) -> dict[str, str]:
        """Return merge key -> sha256 of the route's logits, as recorded on machines with these numerics."""
        rows = self._session.execute(_KNOWN, {"numerics": numerics})
        return {merge_key: sha256 for merge_key, sha256 in rows}  # noqa: C416 - rows are no pairs to a checker

    def record_proof(
        self,
        number: int,
        comparisons: Iterable[Comparison],
        numerics: str,
        digests: Mapping[str, str],
    ) -> None:
        """Keep what a publication compared, and the digests that the next one must find again."""
        self._add_all(
            _ADD_CHECKS,
            (
                {
                    "version_number": number,
                    "subject": comparison.subject,
                    "before_sha256": comparison.before_sha256,
                    "after_sha256": comparison.after_sha256,
                }
                for comparison in comparisons
            ),
        )
        known = self.probe_digests(numerics)
        self._add_all(
            _ADD_DIGESTS,
            (
                {"merge_key": merge_key, "numerics": numerics, "logits_sha256": sha256}
                for merge_key, sha256 in digests.items()
                if merge_key not in known
            ),
        )

    def proof(self, number: int) -> tuple[Comparison, ...]:
        """Return what the publication of a version compared."""
        query = (
            select(ForgettingCheckRow)
            .where(ForgettingCheckRow.version_number == number)
            .order_by(ForgettingCheckRow.check_id)
        )
        return tuple(
            Comparison(row.subject, row.before_sha256, row.after_sha256)
            for row in self._session.scalars(query)
        )


def _rebuilt(
    row: Row[*tuple[Any, ...]], routes: Iterable[tuple[int, Route]], changes: Iterable[tuple[int, str, bool]]
) -> NetVersion:
    present = {key: there for came, key, there in changes if came <= row.number}
    own = (route for came, route in routes if came <= row.number and present.get(route.merge_key, True))
    return NetVersion(row.number, row.parent_digest, tuple(own))


def _route(row: Row[*tuple[Any, ...]]) -> Route:
    _, category, task, category_module, adapter, task_module, merge_key, supervised_by = row
    return Route(category, Task(task), category_module, adapter, task_module, merge_key, supervised_by or "")
