"""A copy of a grown home that a test damages, and the register of what can be damaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transplant.artifact.digest import sha256_hex

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

OTHER = sha256_hex(b"other")


@dataclass
class Patient:
    """A copy of the grown home, and its database without any rule."""

    home: Path
    db: sqlite3.Connection

    def one(self, query: str, *values: object):
        return self.db.execute(query, values).fetchone()[0]

    def do(self, statement: str, *values: object) -> None:
        assert self.db.execute(statement, values).rowcount != 0, "nothing was damaged"

    def blob(self, sha256: str) -> Path:
        return self.home / "store" / sha256[:2] / sha256

    @property
    def f(self) -> str:
        """The founder's category module; nothing but routes, merges and its task module name it."""
        return self.one("SELECT category_module FROM routes WHERE position = 1")

    @property
    def adapter(self) -> str:
        return self.one("SELECT adapter FROM routes WHERE adapter IS NOT NULL")

    def payload_of(self, module_id: str) -> str:
        return self.one("SELECT payload_sha256 FROM modules WHERE module_id = ?", module_id)

    @property
    def upload(self) -> str:
        return self.one("SELECT upload_id FROM uploads WHERE received_at IS NULL")

    @property
    def learning(self) -> str:
        return self.one("SELECT merge_key FROM merges WHERE state = 'learning'")

    @property
    def joined(self) -> str:
        return self.one("SELECT merge_key FROM merges WHERE state = 'published' AND NOT identity")


DAMAGES: dict[str, tuple[list[str], Callable[[Patient], None]]] = {}


def damage(*kinds: str):
    """Register a damage and the kinds of finding that it must lead to, each as often as it is named."""

    def register(function):
        DAMAGES[function.__name__] = (sorted(kinds), function)
        return function

    return register
