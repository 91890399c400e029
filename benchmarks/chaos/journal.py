"""What a site noted before and after each step that counts: lines of JSON, each one write to the file.

They outlive a kill -9 of their process (not a power cut: nobody pulls a plug here), so that the checker
knows what was asked for and what was answered.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMITTING, COMMITTED, ERROR, DONE = "committing", "committed", "error", "done"


@dataclass(frozen=True)
class Note:
    """One line: what happened, to which module, at which time of the machine's clock."""

    what: str
    subject: str
    detail: str
    at_s: float


def note(path: Path, what: str, subject: str, detail: str = "") -> None:
    """Append a line; several processes may write to one journal."""
    line = json.dumps({"what": what, "subject": subject, "detail": detail, "at_s": time.time()}) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def notes(path: Path) -> Iterator[Note]:
    """Yield every whole line; the last one may have been cut short by a kill."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield Note(**json.loads(line))
        except (ValueError, TypeError):
            continue
