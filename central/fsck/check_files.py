"""The files of a home beside the store: partial uploads, workers' folders, what a crash left half-written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.fsck.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from central.fsck.tables import Tables

_PART, _NOTE = ".part", ".synced"


def listed_parts(uploads: Path) -> frozenset[str]:
    """Return the ids of all uploads that have a file; to be called before the rows are read."""
    return frozenset(path.stem for path in _entries(uploads) if path.suffix in (_PART, _NOTE))


def listed_benches(home: Path) -> frozenset[str]:
    """Return the merges that have a worker's folder; to be called before the rows are read."""
    return frozenset(entry.name for entry in _entries(home / "merges") if entry.is_dir())


def check_parts(uploads: Path, listed: frozenset[str], *tables: Tables) -> Iterator[Finding]:
    """Check partial uploads against the uploads that the registry knows.

    Args:
        uploads: their folder.
        listed: `listed_parts` of a moment before.
        tables: states of the registry, the newest last.
    """
    known = {row["upload_id"]: row["payload_bytes"] for each in tables for row in each["uploads"]}
    now = tables[-1].by("uploads", "upload_id")
    for upload_id in sorted(listed):
        part, note = uploads / f"{upload_id}{_PART}", uploads / f"{upload_id}{_NOTE}"
        if upload_id not in known:
            if part.exists() or note.exists():  # else its commit has just cleared it
                yield Finding("part-without-upload", str(part if part.exists() else note))
            continue
        fault = _length_fault(part, note, known[upload_id])
        if fault and upload_id in now and now[upload_id]["received_at"] is None:
            yield Finding("part-length", str(part), fault)


def _length_fault(part: Path, note: Path, payload_bytes: int) -> str:
    """Return what is wrong with the length of a partial file, or "".

    The note is read first: while an upload goes on it only ever grows, and the file before it.
    """
    try:
        noted = int(note.read_bytes() or b"0")
    except FileNotFoundError:
        noted = 0
    except ValueError:
        return "the note of its durable length is no number"
    try:
        size = part.stat().st_size
    except FileNotFoundError:
        return "" if noted in (0, payload_bytes) else f"{noted} bytes are noted as durable, and it is gone"
    if size < noted:
        return f"{noted} bytes are noted as durable, and it has {size}"
    return f"it has {size} bytes, {payload_bytes} were declared" if size > payload_bytes else ""


def check_home(home: Path, benches: frozenset[str], tables: Tables) -> Iterator[Finding]:
    """Look for files that were never renamed, and for `listed_benches` of merges that nobody knows."""
    for merge_key in sorted(benches - set(tables.by("merges", "merge_key"))):
        yield Finding("bench-without-merge", str(home / "merges" / merge_key))
    for folder in (home, home / "identity", home / "merges", *_entries(home / "merges")):
        for entry in _entries(folder):
            if entry.name.startswith(".") and entry.name.endswith(".tmp"):
                yield Finding("unfinished-file", str(entry))


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
