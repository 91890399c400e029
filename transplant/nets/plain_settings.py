"""Frozen settings as plain values and back, as a JSON document holds them."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


class PlainSettings:
    """Base of a frozen dataclass of settings; `what` names them in messages."""

    _what: ClassVar[str]

    def __init_subclass__(cls, *, what: str) -> None:
        cls._what = what

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON document."""
        return asdict(self)  # pyright: ignore[reportArgumentType] - every subclass is a dataclass

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild from `to_dict`.

        Raises:
            InvalidSettings: on an unknown name, or a value out of range or of another kind.
        """
        unknown = set(values) - {entry.name for entry in fields(cls)}  # pyright: ignore[reportArgumentType]
        if unknown:
            raise InvalidSettings(f"unknown {cls._what} settings: {', '.join(sorted(unknown))}")
        try:
            return cls(**values)
        except TypeError as error:
            raise InvalidSettings(f"{cls._what} settings: {error}") from error
