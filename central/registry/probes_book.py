"""Probe requests: made once for a category module and a task, and kept as they were made."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from central.registry.tables import ProbeRequestRow
from transplant.nets.disclosures import ProbeRequest
from transplant.types import Task

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session


class ProbesBook:
    """Probe requests, within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, category_module: str, request: ProbeRequest, at: datetime) -> bool:
        """Record a request, and tell whether it is new; one made before for this module and task stays."""
        if self.get(category_module, request.task) is not None:
            return False
        row = ProbeRequestRow(
            category_module=category_module,
            task=request.task.value,
            request=asdict(request),
            asked_at=at,
        )
        self._session.add(row)
        self._session.flush()
        return True

    def get(self, category_module: str, task: Task) -> ProbeRequest | None:
        """Return what is asked about a category module and a task, or None where nothing is."""
        row = self._session.get(ProbeRequestRow, (category_module, task.value))
        return None if row is None else _request(row)

    def of(self, category_module: str) -> tuple[ProbeRequest, ...]:
        """Return everything that is asked about a category module, by task."""
        query = (
            select(ProbeRequestRow)
            .where(ProbeRequestRow.category_module == category_module)
            .order_by(ProbeRequestRow.task)
        )
        return tuple(map(_request, self._session.scalars(query)))


def _request(row: ProbeRequestRow) -> ProbeRequest:
    fields: dict[str, Any] = row.request | {"task": Task(row.task)}
    return ProbeRequest(**fields)
