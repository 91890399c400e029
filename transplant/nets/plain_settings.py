"""Frozen settings from plain values, as a JSON document holds them."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

Settings = TypeVar("Settings")


def from_plain(kind: type[Settings], values: Mapping[str, Any], what: str) -> Settings:
    """Return settings of a dataclass `kind`; `what` names them in messages.

    Raises:
        InvalidSettings: on an unknown name, or a value out of range or of another kind.
    """
    unknown = set(values) - {entry.name for entry in fields(kind)}  # pyright: ignore[reportArgumentType] - a dataclass
    if unknown:
        raise InvalidSettings(f"unknown {what} settings: {', '.join(sorted(unknown))}")
    try:
        return kind(**values)
    except TypeError as error:
        raise InvalidSettings(f"{what} settings: {error}") from error
