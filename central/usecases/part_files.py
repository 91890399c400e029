"""Partial uploads on disk: `<id>.part` grows at its end, `<id>.synced` says how much of it is durable.

The bytes are synced in batches and only then is the length noted, so the noted length never runs
ahead of the disk; whatever lies behind it after a crash is cut off and sent again.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from transplant.artifact.chunks import CHUNK_BYTES, verify_chunk
from transplant.artifact.durable_file import storage_errors, sync_directory
from transplant.errors import ChunkOutOfOrder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from transplant.artifact.chunks import Chunk

SYNC_BYTES = 8 * CHUNK_BYTES
"""How much is written between two syncs; less than what a sender runs ahead."""

_DIGITS = 20
_COMMIT_LOCKS = 64


class PartFiles:
    """The folder of partial uploads of one center.

    Args:
        root: made if it is not there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        with storage_errors(root):
            root.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._owners: dict[str, PartWriter] = {}
        self._commits = [threading.Lock() for _ in range(_COMMIT_LOCKS)]

    def path(self, upload_id: str) -> Path:
        """Return where the bytes of an upload lie."""
        return self.root / f"{upload_id}.part"

    def durable_offset(self, upload_id: str) -> int:
        """Return how many bytes of an upload survive a crash."""
        try:
            noted = int(self._note(upload_id).read_bytes())
            return min(noted, self.path(upload_id).stat().st_size)
        except (FileNotFoundError, ValueError):
            return 0

    def committing(self, upload_id: str) -> threading.Lock:
        """Return the lock of an upload's commit: a site that repeats its call waits for the first one."""
        return self._commits[hash(upload_id) % len(self._commits)]

    def take_over(self, upload_id: str) -> PartWriter:
        """Return a writer at the durable offset; an older writer of the same upload is shut out.

        That is what a site needs that was killed and came back while its old stream still lingers.
        """
        with self._lock:
            older = self._owners.pop(upload_id, None)
            if older is not None:
                older.close()
            writer = PartWriter(self.path(upload_id), self._note(upload_id), self.durable_offset(upload_id))
            self._owners[upload_id] = writer
            return writer

    def release(self, upload_id: str, writer: PartWriter) -> None:
        """Close a writer; harmless where another one took over."""
        with self._lock:
            writer.close()
            if self._owners.get(upload_id) is writer:
                del self._owners[upload_id]

    def remove(self, upload_id: str) -> None:
        """Throw an upload's bytes away."""
        with self._lock:
            writer = self._owners.pop(upload_id, None)
            if writer is not None:
                writer.close()
            self._note(upload_id).unlink(missing_ok=True)
            self.path(upload_id).unlink(missing_ok=True)

    def known(self) -> Iterator[str]:
        """Yield the id of every upload that has a file here."""
        for path in sorted(self.root.iterdir()):
            if path.suffix in (".part", ".synced"):
                yield path.stem

    def _note(self, upload_id: str) -> Path:
        return self.root / f"{upload_id}.synced"


class PartWriter:
    """Writes one partial upload, at its end only. Made by `PartFiles.take_over`."""

    def __init__(self, path: Path, note: Path, durable: int) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._open = True
        self._written = self._durable = durable
        with storage_errors(path):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            os.ftruncate(self._file, durable)
            self._note = os.open(note, os.O_RDWR | os.O_CREAT, 0o600)
            sync_directory(path.parent)

    @property
    def durable(self) -> int:
        """Bytes that survive a crash."""
        return self._durable

    def write(self, chunk: Chunk) -> None:
        """Append a chunk, and sync when enough has come together.

        Raises:
            ChunkCorrupt: if its checksum does not fit.
            ChunkOutOfOrder: if it does not start where the file ends, or another stream took over.
            StorageFull: if the disk is full; the file is cut back to its durable part.
        """
        verify_chunk(chunk)
        with self._lock:
            if not self._open:
                raise ChunkOutOfOrder("another stream took this upload over; ask UploadStatus and go on")
            if chunk.offset != self._written:
                raise ChunkOutOfOrder(
                    f"the chunk starts at {chunk.offset}, the upload ends at {self._written} "
                    f"({self._durable} bytes are durable)"
                )
            try:
                with storage_errors(self._path):
                    _write_all(self._file, chunk.data, chunk.offset)
                    self._written = chunk.end
                    if self._written - self._durable >= SYNC_BYTES:
                        self._sync()
            except BaseException:
                os.ftruncate(self._file, self._durable)
                self._written = self._durable
                raise

    def sync(self) -> int:
        """Make every byte written so far durable and return how many those are."""
        with self._lock, storage_errors(self._path):
            if self._open:
                self._sync()
            return self._durable

    def close(self) -> None:
        """Save what came in and close; nothing can be written any more."""
        with self._lock:
            if not self._open:
                return
            try:
                with storage_errors(self._path):
                    self._sync()
            finally:
                self._open = False
                os.close(self._file)
                os.close(self._note)

    def _sync(self) -> None:
        if self._written == self._durable:
            return
        os.fdatasync(self._file)
        _write_all(self._note, str(self._written).zfill(_DIGITS).encode(), 0)
        self._durable = self._written


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(descriptor, view, offset)
        view, offset = view[done:], offset + done
