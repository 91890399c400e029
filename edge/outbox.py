"""The durable shipping queue: one small JSON document an artifact, written atomically.

    queued --declare--> declared --upload, commit--> committed --verdict--> registered | rejected

Entries are never removed: a registered one says what was shipped, and putting the same module in again
changes nothing. A kill between two states leaves the earlier one, and every step may be done twice. A
rejected one is not sent again: the same bytes would be rejected again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from edge.site_home import read_document, write_document
from transplant.errors import CheckpointInvalid, NotFound, rejection_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from transplant.artifact.manifest import Manifest


class EntryState(StrEnum):
    """How far an artifact is on its way."""

    QUEUED = "queued"
    DECLARED = "declared"
    COMMITTED = "committed"
    REGISTERED = "registered"
    REJECTED = "rejected"


_SHIPPED = frozenset({EntryState.COMMITTED, EntryState.REGISTERED, EntryState.REJECTED})
_DECIDED = frozenset({EntryState.REGISTERED, EntryState.REJECTED})


@dataclass(frozen=True)
class Rejection:
    """Why the center rejected an artifact; `figures` are what it measured."""

    error: str
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class OutboxEntry:
    """One artifact to ship."""

    sequence: int
    module_id: str
    size_bytes: int
    state: EntryState = EntryState.QUEUED
    upload_id: str = ""
    rejection: Rejection | None = None

    def raise_rejection(self) -> None:
        """Raise what the center said, where it rejected this artifact.

        Raises:
            ArtifactRejected, NotFound: with the center's reasons.
        """
        if self.rejection is not None:
            raise rejection_of(self.rejection.error, self.rejection.reason)


class Outbox:
    """The queue below one folder; entries are shipped in the order in which they were put.

    Args:
        directory: the folder; made when the first entry is put.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, manifest: Manifest) -> OutboxEntry:
        """Queue an artifact behind all others; one that is known already keeps its state.

        Raises:
            StorageFull: if the disk is full; the queue is then as it was.
        """
        entries = self.entries()
        for entry in entries:
            if entry.module_id == manifest.module_id:
                return entry
        size_bytes = len(manifest.canonical_bytes()) + manifest.payload_bytes
        sequence = entries[-1].sequence + 1 if entries else 1
        entry = OutboxEntry(sequence, manifest.module_id, size_bytes)
        self._write(entry)
        return entry

    def entries(self) -> list[OutboxEntry]:
        """Return all entries in shipping order.

        Raises:
            CheckpointInvalid: if a document was damaged.
        """
        return sorted(
            (_read(path) for path in self._directory.glob("*.json")), key=lambda entry: entry.sequence
        )

    def pending(self) -> list[OutboxEntry]:
        """Return what the center has not decided about yet."""
        return [entry for entry in self.entries() if entry.state not in _DECIDED]

    def shipped_bytes(self) -> int:
        """Return the bytes of all manifests and payloads that left the site, rejected ones among them."""
        return sum(entry.size_bytes for entry in self.entries() if entry.state in _SHIPPED)

    def mark(
        self, module_id: str, state: EntryState, upload_id: str = "", rejection: Rejection | None = None
    ) -> OutboxEntry:
        """Record that an artifact reached `state`.

        Raises:
            NotFound: if it was never put.
        """
        for entry in self.entries():
            if entry.module_id == module_id:
                upload = upload_id or entry.upload_id
                moved = replace(entry, state=state, upload_id=upload, rejection=rejection)
                self._write(moved)
                return moved
        raise NotFound(f"module {module_id[:12]} is not in the outbox {self._directory}")

    def forget_rejections(self) -> int:
        """Queue what was rejected once more, for the center may have changed its mind; return how many."""
        rejected = [entry for entry in self.entries() if entry.state is EntryState.REJECTED]
        for entry in rejected:
            self._write(replace(entry, state=EntryState.QUEUED, upload_id="", rejection=None))
        return len(rejected)

    def _write(self, entry: OutboxEntry) -> None:
        document = asdict(entry)
        if entry.rejection is None:
            del document["rejection"]
        write_document(self._directory / f"{entry.module_id}.json", document)


def _read(path: Path) -> OutboxEntry:
    document = read_document(path) or {}
    try:
        return OutboxEntry(
            int(document["sequence"]),
            str(document["module_id"]),
            int(document["size_bytes"]),
            EntryState(document["state"]),
            str(document["upload_id"]),
            Rejection(**document["rejection"]) if "rejection" in document else None,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointInvalid(
            f"{path} is damaged ({error!r}): delete it and run seal and push again"
        ) from error
