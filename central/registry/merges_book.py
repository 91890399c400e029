"""Merges: what is to be done, where it stands, and every step it took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from central.merge.state import ENDED, MergeStatus
from central.merge.tasks import task_from_document
from central.registry.tables import MergeRow, MergeTransitionRow, VerdictRow
from central.registry.values import StoredMerge, Transition
from transplant.errors import NotFound
from transplant.types import MergeState

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from central.merge.plan import PlannedTask


class MergesBook:
    """Merges, within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, planned: PlannedTask, at: datetime) -> StoredMerge:
        """Record a merge in the state `planned`."""
        task = planned.task
        last = self._session.scalar(select(func.max(MergeRow.position))) or 0
        status = MergeStatus(task.key, task.identity)
        row = MergeRow(
            merge_key=task.key,
            position=last + 1,
            teacher_id=planned.teacher_id,
            site=task.site,
            category=task.category,
            task=task.task.value,
            identity=task.identity,
            task_document=task.to_document(),
        )
        _write(row, status)
        self._session.add(row)
        self._session.flush()
        self._add_transition(status, status, "MergePlanned", at)
        return StoredMerge(row.position, planned.teacher_id, task, status)

    def get(self, merge_key: str) -> StoredMerge:
        """Return a merge.

        Raises:
            NotFound: if there is none with this key.
        """
        row = self._session.get(MergeRow, merge_key)
        if row is None:
            raise NotFound(f"no merge {merge_key[:80]}")
        return _merge(row)

    def list(
        self, category: str = "", *, open_only: bool = False, teacher_id: str = ""
    ) -> tuple[StoredMerge, ...]:
        """Return merges in the order in which they were planned."""
        query = select(MergeRow).order_by(MergeRow.position)
        if category:
            query = query.where(MergeRow.category == category)
        if teacher_id:
            query = query.where(MergeRow.teacher_id == teacher_id)
        if open_only:
            query = query.where(MergeRow.state.not_in([state.value for state in ENDED]))
        return tuple(_merge(row) for row in self._session.scalars(query))

    def move(self, before: MergeStatus, after: MergeStatus, event: str, at: datetime) -> None:
        """Replace a merge's status and record the step."""
        row = self._session.get_one(MergeRow, after.merge_key)
        _write(row, after)
        self._add_transition(before, after, event, at)

    def transitions(self, merge_key: str) -> tuple[Transition, ...]:
        """Return every step of a merge, oldest first."""
        query = (
            select(MergeTransitionRow)
            .where(MergeTransitionRow.merge_key == merge_key)
            .order_by(MergeTransitionRow.transition_id)
        )
        return tuple(
            Transition(row.event, row.from_state, row.to_state, row.reason, row.at)
            for row in self._session.scalars(query)
        )

    def add_verdict(
        self, merge_key: str, site: str, closed: float, figures: dict[str, float], at: datetime
    ) -> None:
        """Record what the owning site measured; a repeated report changes nothing."""
        if self._session.get(VerdictRow, merge_key) is None:
            row = VerdictRow(
                merge_key=merge_key, site=site, closed=closed, figures=dict(figures), reported_at=at
            )
            self._session.add(row)
            self._session.flush()

    def _add_transition(self, before: MergeStatus, after: MergeStatus, event: str, at: datetime) -> None:
        row = MergeTransitionRow(
            merge_key=after.merge_key,
            event=event,
            from_state=before.state.value,
            to_state=after.state.value,
            reason=after.reason,
            figures=dict(after.figures),
            at=at,
        )
        self._session.add(row)
        self._session.flush()


def _write(row: MergeRow, status: MergeStatus) -> None:
    row.state = status.state.value
    row.adapter = status.adapter
    row.figures = dict(status.figures)
    row.reason = status.reason
    row.attempts = status.attempts
    row.accepted = status.accepted
    row.deadline = status.deadline
    row.version_number = status.version_number


def _merge(row: MergeRow) -> StoredMerge:
    status = MergeStatus(
        merge_key=row.merge_key,
        identity=row.identity,
        state=MergeState(row.state),
        adapter=row.adapter,
        figures=dict(row.figures),
        reason=row.reason,
        attempts=row.attempts,
        accepted=row.accepted,
        deadline=row.deadline,
        version_number=row.version_number,
    )
    return StoredMerge(row.position, row.teacher_id, task_from_document(row.task_document), status)
