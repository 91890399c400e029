"""Partial uploads on disk: `<id>.part` grows at its end, `<id>.synced` says how much of it is durable.

The bytes are synced by a thread beside the one that writes them, again and again for as long as new ones
come in, and only then is the length noted: the noted length never runs ahead of the disk. Whatever lies
behind it after a crash is cut off and sent again; that is what came in during two syncs at most.

Whoever writes also hashes, so that a payload that came in one piece need not be read again to be checked.
"""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from transplant.artifact.chunks import CHUNK_BYTES, WINDOW_BYTES, verify_chunk
from transplant.artifact.digest import sha256_file
from transplant.artifact.durable_file import storage_errors, sync_directory
from transplant.errors import ChunkOutOfOrder, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from transplant.artifact.chunks import Chunk

SYNC_BYTES = 4 * CHUNK_BYTES
"""What is worth a sync of its own; a fast link brings far more while the one before it is under way."""

AHEAD_BYTES = WINDOW_BYTES - 4 * CHUNK_BYTES
"""How far writing runs ahead of the disk; less than a sender runs ahead of what it was told is durable."""

_SYNC_THREADS = 16
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
        self._digests: dict[str, str] = {}
        self._syncers = ThreadPoolExecutor(_SYNC_THREADS, thread_name_prefix="sync")

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

    def progressed_at(self, upload_id: str) -> datetime | None:
        """Return when the last bytes of an upload became durable; None where none have."""
        try:
            noted = self._note(upload_id).stat()
        except FileNotFoundError:
            return None
        return datetime.fromtimestamp(noted.st_mtime, UTC) if noted.st_size else None

    def committing(self, payload_sha256: str) -> threading.Lock:
        """Return the lock of a payload's move into or out of the store.

        A site that repeats its commit waits for the first one, and nobody throws away what another
        upload of the same bytes has just brought.
        """
        return self._commits[hash(payload_sha256) % len(self._commits)]

    def taken(self, upload_id: str, size_bytes: int) -> bool:
        """Tell whether all bytes of an upload came in and its file was taken away since."""
        try:
            return int(self._note(upload_id).read_bytes()) == size_bytes and not self.path(upload_id).exists()
        except (FileNotFoundError, ValueError):
            return False

    def sha256(self, upload_id: str) -> str:
        """Return the digest of an upload's bytes: what came in one piece was hashed on its way.

        What was resumed, or came to an earlier process, is read.

        Raises:
            NotFound: if the upload has no bytes here.
        """
        with self._lock:
            known = self._digests.get(upload_id)
        if known is not None:
            return known
        path = self.path(upload_id)
        if not path.is_file():
            raise NotFound(f"there are no bytes of the upload {upload_id[:80]}")
        return sha256_file(path)

    def take_over(self, upload_id: str) -> PartWriter:
        """Return a writer at the durable offset; an older writer of the same upload is shut out.

        That is what a site needs that was killed and came back while its old stream still lingers.
        """
        with self._lock:
            older = self._owners.pop(upload_id, None)
            if older is not None:
                older.close()
            self._digests.pop(upload_id, None)
            durable = self.durable_offset(upload_id)
            writer = PartWriter(self.path(upload_id), self._note(upload_id), durable, self._syncers)
            self._owners[upload_id] = writer
            return writer

    def release(self, upload_id: str, writer: PartWriter) -> None:
        """Close a writer; harmless where another one took over."""
        with self._lock:
            writer.close()
            if self._owners.get(upload_id) is writer:
                del self._owners[upload_id]
                if writer.sha256 is not None:
                    self._digests[upload_id] = writer.sha256

    def remove(self, upload_id: str) -> None:
        """Throw an upload's bytes away."""
        with self._lock:
            writer = self._owners.pop(upload_id, None)
            if writer is not None:
                writer.close()
            self._digests.pop(upload_id, None)
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

    def __init__(self, path: Path, note: Path, durable: int, syncers: ThreadPoolExecutor) -> None:
        self._path = path
        self._syncers = syncers
        self._changed = threading.Condition()
        self._open = True
        self._syncing = False
        self._fault: OSError | None = None
        self._written = self._durable = durable
        self._digest = hashlib.sha256() if durable == 0 else None
        with storage_errors(path):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            os.ftruncate(self._file, durable)
            self._note = os.open(note, os.O_RDWR | os.O_CREAT, 0o600)
            sync_directory(path.parent)

    @property
    def durable(self) -> int:
        """Bytes that survive a crash."""
        return self._durable

    @property
    def sha256(self) -> str | None:
        """Digest of what this writer wrote, if that is the whole file and all of it is durable."""
        whole = self._digest is not None and self._written == self._durable
        return self._digest.hexdigest() if whole and self._digest is not None else None

    def write(self, chunk: Chunk) -> None:
        """Append a chunk and have it synced; waits where writing runs too far ahead of the disk.

        Raises:
            ChunkCorrupt: if its checksum does not fit.
            ChunkOutOfOrder: if it does not start where the file ends, or another stream took over.
            StorageFull: if the disk is full; the file is cut back to its durable part.
        """
        verify_chunk(chunk)
        with self._changed:
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
                    if self._digest is not None:
                        self._digest.update(chunk.data)
                    self._begin_sync(SYNC_BYTES)
                    self._changed.wait_for(
                        lambda: not self._syncing or self._written - self._durable < AHEAD_BYTES
                    )
                    self._raise_fault()
            except BaseException:
                self._cut_back()
                raise

    def sync(self) -> int:
        """Make every byte written so far durable and return how many those are."""
        with self._changed, storage_errors(self._path):
            if self._open:
                self._finish()
            return self._durable

    def close(self) -> None:
        """Save what came in and close; nothing can be written any more."""
        with self._changed:
            if not self._open:
                return
            try:
                with storage_errors(self._path):
                    self._finish()
            finally:
                self._open = False
                os.close(self._file)
                os.close(self._note)

    def _finish(self) -> None:
        """Wait until nothing is left to sync; the caller holds the lock."""
        while self._written > self._durable:
            self._begin_sync(1)
            self._changed.wait_for(lambda: not self._syncing)
            self._raise_fault()
        self._changed.wait_for(lambda: not self._syncing)  # before the file is closed under its hands

    def _begin_sync(self, worth_bytes: int) -> None:
        if not self._syncing and self._fault is None and self._written - self._durable >= worth_bytes:
            self._syncing = True
            self._syncers.submit(self._sync)

    def _sync(self) -> None:
        """Sync until what has come in meanwhile is not worth it; runs in a thread of the pool."""
        while True:
            target, fault = self._written, None
            try:
                os.fdatasync(self._file)
                _write_all(self._note, str(target).zfill(_DIGITS).encode(), 0)
            except OSError as error:
                fault = error
            with self._changed:
                self._fault = fault
                if fault is None:
                    self._durable = target
                self._syncing = fault is None and self._written - target >= SYNC_BYTES
                self._changed.notify_all()
                if not self._syncing:
                    return

    def _raise_fault(self) -> None:
        """Raise what a sync ran into. Its bytes are cut off: a second sync would only seem to save them."""
        fault, self._fault = self._fault, None
        if fault is not None:
            self._cut_back()
            raise fault

    def _cut_back(self) -> None:
        self._changed.wait_for(lambda: not self._syncing)
        os.ftruncate(self._file, self._durable)
        if self._written > self._durable:
            self._digest = None  # it has seen bytes that are gone
        self._written = self._durable


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(descriptor, view, offset)
        view, offset = view[done:], offset + done
