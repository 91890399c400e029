"""What admission decided about modules: one row a verdict, the newest of a module holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from central.registry.tables import AdmissionRow
from central.registry.values import Admission, AdmissionVerdict

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session


class AdmissionsBook:
    """Verdicts of admission, within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, admission: Admission) -> None:
        """Append a verdict."""
        self._session.add(
            AdmissionRow(
                module_id=admission.module_id,
                site=admission.site,
                verdict=admission.verdict.value,
                error=admission.error,
                reason=admission.reason,
                payload_sha256=admission.payload_sha256,
                payload_bytes=admission.payload_bytes,
                figures=dict(admission.figures),
                fingerprint=list(admission.fingerprint),
                seconds=admission.seconds,
                at=admission.at,
            )
        )
        self._session.flush()

    def of(self, module_id: str) -> Admission | None:
        """Return the newest verdict about a module, or None where there is none."""
        query = (
            select(AdmissionRow)
            .where(AdmissionRow.module_id == module_id)
            .order_by(AdmissionRow.admission_id.desc())
            .limit(1)
        )
        row = self._session.scalar(query)
        return None if row is None else _admission(row)

    def rejection(self, module_id: str) -> Admission | None:
        """Return the rejection of a module, or None where it was not rejected or that was recalled."""
        newest = self.of(module_id)
        return newest if newest is not None and newest.verdict is AdmissionVerdict.REJECTED else None

    def newest(self, since: datetime | None = None) -> tuple[Admission, ...]:
        """Return the newest verdict about each module, in the order in which they fell."""
        last = select(func.max(AdmissionRow.admission_id)).group_by(AdmissionRow.module_id)
        query = (
            select(AdmissionRow)
            .where(AdmissionRow.admission_id.in_(last))
            .order_by(AdmissionRow.admission_id)
        )
        if since is not None:
            query = query.where(AdmissionRow.at >= since)
        return tuple(_admission(row) for row in self._session.scalars(query))


def _admission(row: AdmissionRow) -> Admission:
    return Admission(
        module_id=row.module_id,
        site=row.site,
        verdict=AdmissionVerdict(row.verdict),
        payload_sha256=row.payload_sha256,
        payload_bytes=row.payload_bytes,
        at=row.at,
        error=row.error,
        reason=row.reason,
        figures=row.figures,
        fingerprint=tuple(row.fingerprint),
        seconds=row.seconds,
    )
