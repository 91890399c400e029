"""Column types that mean the same on every database: text, figures and points in time."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, String, Text
from sqlalchemy.types import TypeDecorator


def storable(text: str) -> str:
    """Return text that every database can hold: what not every one can becomes a mark.

    That is NUL, which PostgreSQL refuses, and half a surrogate pair, which is not UTF-8.
    """
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


class PlainText(TypeDecorator[str]):
    """Text of any origin, made storable (and so an impossible name finds nothing)."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Put the marks."""
        del dialect
        return None if value is None else storable(value)


class ShortText(PlainText):
    """Text of at most some length."""

    impl = String
    cache_ok = True


class Figures(TypeDecorator[dict[str, float]]):
    """Named numbers; JSON knows no infinity and no NaN, so these are written as words."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: dict[str, float] | None, dialect: Dialect) -> dict[str, Any] | None:
        """Write what is not finite as a word."""
        del dialect
        if value is None:
            return None
        return {name: each if math.isfinite(each) else str(each) for name, each in value.items()}

    def process_result_value(self, value: dict[str, Any] | None, dialect: Dialect) -> dict[str, float] | None:
        """Return numbers."""
        del dialect
        return None if value is None else {name: float(each) for name, each in value.items()}


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time in UTC: SQLite forgets the zone, PostgreSQL answers in the session's."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store in UTC."""
        del dialect
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return in UTC, with the zone."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
