"""The audit log's chain: how an entry is sealed to the one before it, and what a walk along it finds.

Each entry's digest is the sha256 of the canonical JSON of all of it, the digest of the entry before
included. So no entry can be changed, removed, moved or put in between without the walk seeing it, unless
everything after it is sealed again. Who can write to the database can do that, and can cut off the end:
only a head that was noted elsewhere finds it. No SQL here, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from transplant.artifact.digest import canonical_json, sha256_hex
from transplant.errors import AuditChainBroken

if TYPE_CHECKING:
    from collections.abc import Iterable

GENESIS = "0" * 64  # stands before the first entry


@dataclass(frozen=True)
class AuditEntry:
    """One entry as it is stored. `detail` is canonical JSON, `at` ISO 8601 in UTC to the microsecond."""

    position: int
    at: str
    actor: str
    action: str
    subject: str
    detail: str
    previous_digest: str
    digest: str

    def content_digest(self) -> str | None:
        """Return the digest that fits this content; None where a field is none that was ever digested."""
        fields = {
            "position": self.position,
            "at": self.at,
            "actor": self.actor,
            "action": self.action,
            "subject": self.subject,
            "detail": self.detail,
            "previous_digest": self.previous_digest,
        }
        try:
            return sha256_hex(canonical_json(fields))
        except (TypeError, ValueError):
            return None  # bytes in a text column, half a surrogate pair: SQLite holds anything


@dataclass(frozen=True)
class ChainHead:
    """The newest entry: how many there are, and the digest that stands for all of them."""

    position: int = 0
    digest: str = GENESIS


@dataclass(frozen=True)
class KnownHead:
    """A head that was noted outside the log.

    Attributes:
        digest: of an entry that the log once ended with.
        position: of that entry, where it was noted too.
        told_by: where it was noted, for messages.
    """

    digest: str
    position: int | None = None
    told_by: str = "--expect-head"


def sealed_entry(head: ChainHead, at: str, actor: str, action: str, subject: str, detail: str) -> AuditEntry:
    """Return the entry that follows `head`."""
    entry = AuditEntry(head.position + 1, at, actor, action, subject, detail, head.digest, "")
    return replace(entry, digest=str(entry.content_digest()))


def walk_chain(entries: Iterable[AuditEntry], known: Iterable[KnownHead] = ()) -> ChainHead:
    """Check every entry, oldest first, and return the head.

    Args:
        entries: the whole log, in the order of its positions.
        known: heads that the log must contain.

    Raises:
        AuditChainBroken: names the first entry that is wrong, and what is wrong with it.
    """
    head = ChainHead()
    wanted = {mark.digest: mark for mark in known if mark.digest != GENESIS}
    by_position = {mark.position: mark for mark in wanted.values() if mark.position is not None}
    for entry in entries:
        _check(head, entry)
        mark = by_position.get(entry.position)
        if mark is not None and mark.digest != entry.digest:
            raise AuditChainBroken(
                f"entry {entry.position} was rewritten, and all that follow were sealed again: its digest is "
                f"{entry.digest}, {mark.told_by} noted {mark.digest}"
            )
        wanted.pop(entry.digest, None)
        head = ChainHead(entry.position, entry.digest)
    for mark in wanted.values():
        raise AuditChainBroken(
            f"the log was truncated or rewritten: it ends with entry {head.position}, and none is "
            f"{'' if mark.position is None else f'entry {mark.position} '}{mark.digest} of {mark.told_by}"
        )
    return head


def _check(head: ChainHead, entry: AuditEntry) -> None:
    """Compare an entry with its own digest, then with its place, then with the entry before it."""
    here, before = f"entry {entry.position}", head.position
    if entry.content_digest() != entry.digest:
        raise AuditChainBroken(f"{here} was changed: its content does not have its digest")
    if entry.position > before + 1:
        gap = (
            f"entry {before + 1} is"
            if entry.position == before + 2
            else (f"entries {before + 1} to {entry.position - 1} are")
        )
        raise AuditChainBroken(f"{gap} missing before {here}")
    if entry.position <= before:
        raise AuditChainBroken(f"{here} was inserted: it stands after entry {before}")
    if entry.previous_digest != head.digest:
        told = f"entry {before}" if before else "the beginning of the log"
        raise AuditChainBroken(f"{here} does not follow {told}: one of them was replaced")
