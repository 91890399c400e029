"""The audit log's head as a file of the home: what shows that the end of the log was cut off.

Who can write to the database can drop its newest entries, or seal all of them again after a change; within
the database nothing shows it. `audit.head` names an entry that the log has to contain. For the same reason
it is worth keeping a copy elsewhere: print the head by `audit verify`, give it back as `--expect-head`.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from central.registry.audit_chain import KnownHead
from transplant.artifact.durable_file import write_durably
from transplant.errors import AuditChainBroken

if TYPE_CHECKING:
    from pathlib import Path

    from central.registry.audit_chain import ChainHead
    from central.registry.registry import Registry

log = logging.getLogger(__name__)

_LINE = re.compile(r"(\d{1,18}) ([0-9a-f]{64})\n")


def noted_head(home: Path) -> KnownHead | None:
    """Return the head that was noted last, or None where none was.

    Raises:
        AuditChainBroken: if the note is not one.
    """
    path = _path(home)
    try:
        found = _LINE.fullmatch(path.read_text("utf-8", "replace"))
    except FileNotFoundError:
        return None
    if found is None:
        raise AuditChainBroken(
            f"{path} was changed: it should hold a position and a digest; --note-head renews it"
        )
    return KnownHead(found[2], int(found[1]), str(path))


def note_head(home: Path, head: ChainHead) -> None:
    """Replace the note; a crash leaves the old one or the new one."""
    write_durably(_path(home), f"{head.position} {head.digest}\n".encode())


class HeadNotes:
    """Keeps the note of a home up to date while its center serves.

    A log that does not contain the noted head was tampered with, or restored from a backup. Then the note
    stays as it is, so that `audit verify` goes on saying so until an operator has decided.

    Args:
        home: the center's folder.
        registry: holds the log.
    """

    def __init__(self, home: Path, registry: Registry) -> None:
        self._home = home
        self._registry = registry
        self._last: ChainHead | None = None
        self._fits = False

    def start(self) -> None:
        """Compare the log with the note once."""
        try:
            known = noted_head(self._home)
            with self._registry.read() as books:
                self._fits = known is None or books.audit.holds(known)
        except AuditChainBroken as error:
            log.error("%s", error)  # noqa: TRY400 - no bug of ours
        if not self._fits:
            log.error(
                "the audit log does not contain the head that %s notes: it was changed, or restored from a "
                "backup; `transplant-central audit verify` says more",
                _path(self._home),
            )

    def note(self) -> None:
        """Note the newest entry, if there are new ones."""
        if not self._fits:
            return
        with self._registry.read() as books:
            head = books.audit.head()
        if head != self._last:
            note_head(self._home, head)
            self._last = head


def _path(home: Path) -> Path:
    return home / "audit.head"
