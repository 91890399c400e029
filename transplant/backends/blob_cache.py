"""A bounded folder of verified blobs, for stores whose blobs lie elsewhere.

Any number of processes of one machine share it. A blob that somebody holds is leased: the path that is
handed out keeps a shared lock on the file while the path object lives, and only a file that can be
locked for oneself is ever evicted. A killed process loses its locks by itself. Names in the folder
change only under a lock of the folder, so that what was locked is what is removed.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import weakref
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path, PosixPath
from typing import TYPE_CHECKING, BinaryIO

from transplant.artifact.durable_file import storage_errors
from transplant.errors import RegistryDamaged

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_INCOMING = "incoming"


class LeasedPath(PosixPath):
    """Path of a cached blob; while this object lives, its file is not evicted.

    What has opened the file keeps its bytes in any case. A copy of the path is no lease.
    """


class BlobCache:
    """A folder of blobs, the least recently used of which make room for others.

    Args:
        folder: made if it is not there.
        limit_bytes: how much it holds. Leased blobs, and one that is larger than all of it, may exceed it.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._incoming = folder / _INCOMING
        self._limit_bytes = limit_bytes
        self._verified: set[str] = set()
        with storage_errors(folder):
            self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)

    def lease(self, sha256: str) -> Path | None:
        """Return the leased path of a blob, or None if it is not here.

        A file that this process did not verify yet is read once; one with other bytes is thrown away.
        """
        path = self._folder / sha256
        while True:
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                return None
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if os.fstat(descriptor).st_nlink == 0:
                os.close(descriptor)  # evicted or replaced between the two calls
                continue
            if sha256 not in self._verified and _digest(descriptor) != sha256:
                with self._renaming():
                    if os.fstat(descriptor).st_nlink:
                        path.unlink()
                os.close(descriptor)
                continue
            self._verified.add(sha256)
            os.utime(descriptor)
            return _leased(path, descriptor)

    def fill(self, sha256: str, size_bytes: int, write: Callable[[BinaryIO], None]) -> Path:
        """Fetch a blob into the cache and return its leased path.

        Args:
            sha256: of the blob.
            size_bytes: of the blob, to make room for it.
            write: writes the blob's bytes into the file that it is given.

        Raises:
            RegistryDamaged: if what was written has another digest; nothing is kept of it.
            StorageFull: if the disk is full; nothing is kept of it.
        """
        self._make_room(size_bytes)
        with storage_errors(self._incoming):
            temporary, descriptor = self._new_file()
            try:
                with os.fdopen(os.dup(descriptor), "wb") as file:
                    write(file)
                    file.flush()
                    os.fsync(file.fileno())
                _check_digest(descriptor, sha256)
                with self._renaming():
                    temporary.replace(self._folder / sha256)
            except BaseException:
                temporary.unlink(missing_ok=True)
                os.close(descriptor)
                raise
        self._verified.add(sha256)
        return _leased(self._folder / sha256, descriptor)

    def adopt(self, path: Path, sha256: str) -> None:
        """Take over a verified file; where it lies on another volume it is removed."""
        self._make_room(path.stat().st_size)
        try:
            with self._renaming():
                path.replace(self._folder / sha256)
        except OSError:
            path.unlink()
        else:
            self._verified.add(sha256)

    def drop(self, sha256: str) -> None:
        """Forget a blob that the store no longer has."""
        with self._renaming():
            (self._folder / sha256).unlink(missing_ok=True)

    def _make_room(self, wanted_bytes: int) -> None:
        """Evict blobs, oldest use first, and what killed processes left half-fetched."""
        with self._renaming():
            for leftover in self._incoming.iterdir():
                _remove_if_idle(leftover)
            entries = [(entry.stat(), entry) for entry in self._folder.iterdir() if entry.name != _INCOMING]
            used = sum(status.st_size for status, _ in entries) + wanted_bytes
            for status, entry in sorted(entries, key=lambda pair: pair[0].st_mtime_ns):
                if used <= self._limit_bytes:
                    return
                if _remove_if_idle(entry):
                    used -= status.st_size

    @contextmanager
    def _renaming(self) -> Generator[None]:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _new_file(self) -> tuple[Path, int]:
        """Return a locked new file; one that was taken for a leftover before it was locked is made anew."""
        while True:
            descriptor, name = tempfile.mkstemp(dir=self._incoming)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if os.fstat(descriptor).st_nlink:
                return Path(name), descriptor
            os.close(descriptor)


def _leased(path: Path, descriptor: int) -> LeasedPath:
    leased = LeasedPath(path)
    weakref.finalize(leased, os.close, descriptor).atexit = False  # the system closes it then
    return leased


def _digest(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _check_digest(descriptor: int, sha256: str) -> None:
    actual = _digest(descriptor)
    if actual != sha256:
        raise RegistryDamaged(
            f"the blob store holds other bytes for blob {sha256} (their sha256 is {actual}): "
            "run `transplant-central fsck` and restore it from a backup"
        )


def _remove_if_idle(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
