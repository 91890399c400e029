"""What watchers are told, in the order in which it happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from central.registry.tables import EventRow, table_of
from central.registry.values import EventRecord

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

MODULE_ACCEPTED = "ModuleAccepted"
MODULE_REJECTED = "ModuleRejected"
MERGE_MOVED = "MergeMoved"
VERSION_PUBLISHED = "VersionPublished"
ROUTE_REPLACED = "RouteReplaced"
ROUTE_RETIRED = "RouteRetired"
ROUTE_RETURNED = "RouteReturned"
CATEGORY_CONTESTED = "CategoryContested"
CATEGORY_DECIDED = "CategoryDecided"
_LAST_ID = 2**63 - 1
_ADD = insert(table_of(EventRow))


class EventsBook:
    """Events, within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, kind: str, subject: str, at: datetime, *, category: str = "", detail: str = "") -> None:
        """Append an event; `category` limits who may see it to that category's sites."""
        row = {"kind": kind, "subject": subject, "category": category, "detail": detail, "at": at}
        self._session.execute(_ADD, row)

    def after(self, event_id: int, limit: int = 200) -> tuple[EventRecord, ...]:
        """Return the next events."""
        position = min(event_id, _LAST_ID)  # callers say anything
        query = select(EventRow).where(EventRow.event_id > position).order_by(EventRow.event_id).limit(limit)
        return tuple(
            EventRecord(row.event_id, row.kind, row.subject, row.category, row.detail)
            for row in self._session.scalars(query)
        )
