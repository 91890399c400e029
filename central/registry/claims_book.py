"""Whose a category is, where several sites claim it and the operator decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from central.registry.tables import CategoryHolderRow

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session


class ClaimsBook:
    """Decisions about contested categories, within one transaction. The audit log keeps the earlier ones."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def holders(self) -> dict[str, str]:
        """Return category -> the site that the operator decided for."""
        query = select(CategoryHolderRow.category, CategoryHolderRow.site)
        return {category: str(site) for category, site in self._session.execute(query)}

    def decide(self, category: str, site: str, at: datetime) -> bool:
        """Give a category to a site; return whether that is news."""
        row = self._session.get(CategoryHolderRow, category)
        if row is None:
            row = CategoryHolderRow(category=category, site=site, decisions=1, decided_at=at)
            self._session.add(row)
        elif row.site == site:
            return False
        else:
            row.site, row.decisions, row.decided_at = site, row.decisions + 1, at
        self._session.flush()
        return True

    def amount(self) -> int:
        """Return a number that rises with every decision."""
        return int(self._session.scalar(select(func.sum(CategoryHolderRow.decisions))) or 0)
