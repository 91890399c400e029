"""Published versions: append-only, numbered without a gap, each with the proof that nothing was forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from central.registry.tables import ForgettingCheckRow, ProbeDigestRow, RouteRow, VersionRow
from central.registry.values import Comparison
from transplant.artifact.net_document import net_digest
from transplant.errors import NotFound, RegistryConflict
from transplant.types import NetVersion, Route, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session


class VersionsBook:
    """Versions and routes, within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def newest_number(self) -> int:
        """Return the number of the newest version, 0 before the founding."""
        return self._session.scalar(select(func.max(VersionRow.number))) or 0

    def get(self, number: int = 0) -> NetVersion:
        """Return a version (0: the newest).

        Raises:
            NotFound: if there is no such version.
        """
        newest = self.newest_number()
        wanted = number or newest
        row = self._session.get(VersionRow, wanted) if 0 < wanted <= newest else None  # callers say anything
        if row is None:
            message = f"no version {wanted}" if wanted else "the net has not been founded yet"
            raise NotFound(message)
        routes = select(RouteRow).where(RouteRow.version_number <= wanted).order_by(RouteRow.position)
        return NetVersion(row.number, row.parent_digest, tuple(map(_route, self._session.scalars(routes))))

    def newest(self) -> NetVersion | None:
        """Return the newest version, or None before the founding."""
        number = self.newest_number()
        return self.get(number) if number else None

    def after(self, number: int) -> tuple[NetVersion, ...]:
        """Return every version with a higher number."""
        return tuple(self.get(n) for n in range(number + 1, self.newest_number() + 1))

    def publish(self, version: NetVersion, at: datetime) -> None:
        """Append a version: the newest one's routes, unchanged, and at least one more.

        Raises:
            RegistryConflict: if it is not the successor of the newest version.
        """
        newest = self.newest()
        parent = None if newest is None else net_digest(newest)
        old = () if newest is None else newest.routes
        follows = version.number == self.newest_number() + 1 and version.parent_digest == parent
        if not follows or version.routes[: len(old)] != old or len(version.routes) == len(old):
            raise RegistryConflict(f"version {version.number} does not continue version {version.number - 1}")
        self._session.add(
            VersionRow(
                number=version.number,
                digest=net_digest(version),
                parent_digest=version.parent_digest,
                published_at=at,
            )
        )
        self._session.flush()
        for position, route in enumerate(version.routes[len(old) :], start=len(old) + 1):
            self._session.add(
                RouteRow(
                    merge_key=route.merge_key,
                    version_number=version.number,
                    position=position,
                    category=route.category,
                    task=route.task.value,
                    category_module=route.category_module,
                    adapter=route.adapter,
                    task_module=route.task_module,
                )
            )
        self._session.flush()

    def probe_digests(self, numerics: str) -> dict[str, str]:
        """Return merge key -> sha256 of the route's logits, as recorded on machines with these numerics."""
        rows = self._session.scalars(select(ProbeDigestRow).where(ProbeDigestRow.numerics == numerics))
        return {row.merge_key: row.logits_sha256 for row in rows}

    def record_proof(
        self,
        number: int,
        comparisons: Iterable[Comparison],
        numerics: str,
        digests: Mapping[str, str],
    ) -> None:
        """Keep what a publication compared, and the digests that the next one must find again."""
        for comparison in comparisons:
            self._session.add(
                ForgettingCheckRow(
                    version_number=number,
                    subject=comparison.subject,
                    before_sha256=comparison.before_sha256,
                    after_sha256=comparison.after_sha256,
                )
            )
        known = self.probe_digests(numerics)
        for merge_key, sha256 in digests.items():
            if merge_key not in known:
                row = ProbeDigestRow(merge_key=merge_key, numerics=numerics, logits_sha256=sha256)
                self._session.add(row)
        self._session.flush()

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


def _route(row: RouteRow) -> Route:
    return Route(
        category=row.category,
        task=Task(row.task),
        category_module=row.category_module,
        adapter=row.adapter,
        task_module=row.task_module,
        merge_key=row.merge_key,
    )
