"""Merges: what is to be done, where it stands, and every step it took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, insert, select, update

from central.merge.events import (
    GatesFailed,
    GatesPassed,
    LearningFailed,
    Outdone,
    PublicationRefused,
    TimePassed,
    VerdictReported,
)
from central.merge.learners import layers_of
from central.merge.situation import Attempt, Ending, KnownMerge
from central.merge.state import ENDED, MergeStatus
from central.merge.tasks import task_from_document
from central.registry.tables import MergeRow, MergeTransitionRow, VerdictRow, table_of
from central.registry.values import SignedVerdict, StoredMerge, StoredVerdict, Transition
from transplant.errors import NotFound
from transplant.types import MergeState, Task

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from central.merge.situation import PlannedTask

_ENDINGS = {
    MergeState.PUBLISHED.value: Ending.PUBLISHED,
    MergeState.REJECTED.value: Ending.REFUSED,
    MergeState.CANCELLED.value: Ending.CANCELLED,
    MergeState.FAILED.value: Ending.FAILED,
}
_BY_EVENT = {
    GatesPassed.__name__: Ending.REFUSED,  # passed all but the agreement
    GatesFailed.__name__: Ending.REFUSED,
    VerdictReported.__name__: Ending.REFUSED,
    TimePassed.__name__: Ending.UNANSWERED,
    Outdone.__name__: Ending.OUTDONE,
    PublicationRefused.__name__: Ending.DAMAGED,
}
"""How the last step of a merge tells its ending; the names are those of the events, as they are recorded."""
_MERGES, _STEPS = table_of(MergeRow), table_of(MergeTransitionRow)
_ALL = select(_MERGES).order_by(_MERGES.c.position)
_ONE = select(_MERGES).where(_MERGES.c.merge_key == bindparam("merge_key"))
_OF_TEACHER = _ALL.where(_MERGES.c.teacher_id == bindparam("teacher_id"))
_MOVED = (
    select(_STEPS.c.transition_id, _MERGES)
    .join(_MERGES, _MERGES.c.merge_key == _STEPS.c.merge_key)
    .where(_STEPS.c.transition_id > bindparam("step"))
    .order_by(_MERGES.c.position)
)
_LAST = select(func.max(_MERGES.c.position))
_LAST_STEP = select(func.max(_STEPS.c.transition_id))
_ADD, _ADD_STEP = insert(_MERGES), insert(_STEPS)
_MOVE = update(_MERGES).where(_MERGES.c.merge_key == bindparam("moved"))


class MergesBook:
    """Merges, within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, planned: PlannedTask, at: datetime) -> StoredMerge:
        """Record a merge in the state `planned`."""
        task = planned.task
        position = (self._session.scalar(_LAST) or 0) + 1
        status = MergeStatus(task.key, task.identity, refined=bool(task.refinement))
        row = {
            "merge_key": task.key,
            "position": position,
            "teacher_id": planned.teacher_id,
            "site": task.site,
            "category": task.category,
            "task": task.task.value,
            "identity": task.identity,
            "supervised_by": None if task.supervised_by is None else task.supervised_by.category,
            "task_document": task.to_document(),
        }
        self._session.execute(_ADD, row | _told(status))
        self._add_transition(status, status, "MergePlanned", at)
        return StoredMerge(position, planned.teacher_id, task, status)

    def get(self, merge_key: str) -> StoredMerge:
        """Return a merge.

        Raises:
            NotFound: if there is none with this key.
        """
        row = self._session.execute(_ONE, {"merge_key": merge_key}).one_or_none()
        if row is None:
            raise NotFound(f"no merge {merge_key[:80]}")
        return _merge(row)

    def list(
        self, category: str = "", *, open_only: bool = False, teacher_id: str = "", site: str = ""
    ) -> tuple[StoredMerge, ...]:
        """Return merges in the order in which they were planned; `site` is the one that validates them."""
        query, told = (_OF_TEACHER, {"teacher_id": teacher_id}) if teacher_id else (_ALL, None)
        if category:
            query = query.where(_MERGES.c.category == category)
        if site:
            query = query.where(_MERGES.c.site == site)
        if open_only:
            query = query.where(_MERGES.c.state.not_in([state.value for state in ENDED]))
        return tuple(_merge(row) for row in self._session.execute(query, told))

    def changed_since(self, step: int | None) -> tuple[int, tuple[StoredMerge, ...]]:
        """Return the newest step of any merge, and the merges that took one behind `step` (None: open ones).

        Every change of a status is a step, so who follows the steps knows every status.
        """
        if step is None:
            return self._session.scalar(_LAST_STEP) or 0, self.list(open_only=True)
        rows = self._session.execute(_MOVED, {"step": step}).all()
        moved = {row.merge_key: row for row in rows}  # a merge may have taken several
        return max((row.transition_id for row in rows), default=step), tuple(map(_merge, moved.values()))

    def move(self, before: MergeStatus, after: MergeStatus, event: str, at: datetime) -> None:
        """Replace the status of a merge that `get` has found, and record the step."""
        self._session.execute(_MOVE, _told(after) | {"moved": after.merge_key})
        self._add_transition(before, after, event, at)

    def transitions(self, merge_key: str) -> tuple[Transition, ...]:
        """Return every step of a merge, oldest first."""
        query = (
            select(MergeTransitionRow)
            .where(MergeTransitionRow.merge_key == merge_key)
            .order_by(MergeTransitionRow.transition_id)
        )
        return tuple(
            Transition(row.event, row.from_state, row.to_state, row.reason, row.at, dict(row.figures))
            for row in self._session.scalars(query)
        )

    def known(self) -> tuple[KnownMerge, ...]:
        """Return every merge as the planner tells them apart, in the order in which they were planned.

        Only of those that ended unpublished the task is read, so that a net of ten thousand routes is
        looked at in a moment.
        """
        columns = (
            MergeRow.merge_key,
            MergeRow.teacher_id,
            MergeRow.category,
            MergeRow.task,
            MergeRow.identity,
            MergeRow.state,
            MergeRow.supervised_by,
        )
        attempts = self._attempts()
        found: list[KnownMerge] = []
        rows = self._session.execute(select(*columns).order_by(MergeRow.position))
        for key, teacher_id, category, task, identity, state, supervisor in rows:
            ending, attempt = attempts.get(key, (_ENDINGS.get(state, Ending.OPEN), None))
            known = KnownMerge(
                key, teacher_id, category, Task(task), identity, ending, supervisor is not None, attempt
            )
            found.append(known)
        return tuple(found)

    def _attempts(self) -> dict[str, tuple[Ending, Attempt]]:
        """Return how each merge ended that did and was not published, by the last step that it took."""
        unpublished = [state.value for state in ENDED - {MergeState.PUBLISHED}]
        query = (
            select(
                MergeRow.merge_key,
                MergeRow.task_document,
                MergeRow.figures,
                MergeRow.state,
                MergeRow.reason,
                MergeTransitionRow.event,
                MergeTransitionRow.from_state,
            )
            .join(MergeTransitionRow, MergeTransitionRow.merge_key == MergeRow.merge_key)
            .where(MergeRow.state.in_(unpublished), MergeTransitionRow.to_state == MergeRow.state)
            .order_by(MergeTransitionRow.transition_id)
        )
        found: dict[str, tuple[Ending, Attempt]] = {}
        for key, document, figures, state, reason, event, from_state in self._session.execute(query):
            task = task_from_document(document)
            supervisor = task.supervised_by
            attempt = Attempt(
                host=task.host,
                layers=0 if task.host is None else layers_of(task.settings),
                agreement=figures.get("agreement"),
                supervisor="" if supervisor is None else supervisor.category_module,
                reason=reason,
            )
            never_began = (event, from_state) == (LearningFailed.__name__, MergeState.PLANNED.value)
            ending = Ending.UNFIT if never_began else _BY_EVENT.get(event, _ENDINGS[state])
            found[key] = (ending, attempt)
        return found

    def add_verdict(
        self,
        merge_key: str,
        site: str,
        closed: float,
        figures: dict[str, float],
        at: datetime,
        signed: SignedVerdict | None = None,
    ) -> None:
        """Record what the owning site measured; a repeated report changes nothing."""
        if self._session.get(VerdictRow, merge_key) is None:
            row = VerdictRow(
                merge_key=merge_key,
                site=site,
                closed=closed,
                figures=dict(figures),
                reported_at=at,
                signature=None if signed is None else signed.signature,
                certificate=None if signed is None else signed.certificate,
            )
            self._session.add(row)
            self._session.flush()

    def verdict(self, merge_key: str) -> StoredVerdict | None:
        """Return what the owning site measured for a merge, or None where it did not answer."""
        row = self._session.get(VerdictRow, merge_key)
        if row is None:
            return None
        signed = None
        if row.signature is not None and row.certificate is not None:
            signed = SignedVerdict(row.signature, row.certificate)
        return StoredVerdict(row.site, row.closed, dict(row.figures), row.reported_at, signed)

    def _add_transition(self, before: MergeStatus, after: MergeStatus, event: str, at: datetime) -> None:
        row = {
            "merge_key": after.merge_key,
            "event": event,
            "from_state": before.state.value,
            "to_state": after.state.value,
            "reason": after.reason,
            "figures": after.figures,
            "at": at,
        }
        self._session.execute(_ADD_STEP, row)


def _told(status: MergeStatus) -> dict[str, Any]:
    return {
        "state": status.state.value,
        "adapter": status.adapter,
        "figures": status.figures,
        "reason": status.reason,
        "attempts": status.attempts,
        "accepted": status.accepted,
        "deadline": status.deadline,
        "version_number": status.version_number,
    }


def _merge(row: Row[Any]) -> StoredMerge:
    task = task_from_document(row.task_document)
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
        refined=bool(task.refinement),
    )
    return StoredMerge(row.position, row.teacher_id, task, status)
