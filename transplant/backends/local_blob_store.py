"""Blobs in a local directory: `<root>/<first two digits>/<digest>`, written to `<root>/incoming` first."""

from __future__ import annotations

import errno
import shutil
import time
from typing import TYPE_CHECKING

from transplant.artifact.digest import sha256_file, sha256_hex
from transplant.artifact.durable_file import storage_errors, sync_directory, sync_file, synced_temporary
from transplant.errors import DigestMismatch, NotFound
from transplant.types import SHA256_HEX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_INCOMING = "incoming"


class LocalBlobStore:
    """Implements `transplant.ports.blob_store.BlobStore` for any number of processes on one volume.

    A blob becomes visible by one rename of a synced file, and the folder is synced after it: a crash
    at any point leaves the blob absent or whole.

    Args:
        root: the store's folder; made if it is not there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / _INCOMING
        with storage_errors(root):
            self._incoming.mkdir(parents=True, exist_ok=True)

    def put_file(self, path: Path, sha256: str, *, verified: bool = False) -> None:
        """Take over the file at `path`; see the port."""
        if self.has(sha256):
            path.unlink(missing_ok=True)
            return
        if not path.is_file():
            raise NotFound(f"there is no file {path} and no blob {sha256}")
        actual = sha256 if verified else sha256_file(path)
        if actual != sha256:
            raise DigestMismatch(f"{path} has the sha256 {actual}, not {sha256}")
        sync_file(path)
        try:
            self._publish(path, sha256)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._publish(self._copied(path), sha256)  # from another volume: a rename cannot cross it
            path.unlink(missing_ok=True)

    def put_bytes(self, data: bytes) -> str:
        """Store small `data`; see the port."""
        sha256 = sha256_hex(data)
        if not self.has(sha256):
            with storage_errors(self._incoming):
                with synced_temporary(self._incoming) as (file, temporary):
                    file.write(data)
                try:
                    self._publish(temporary, sha256)
                except BaseException:
                    temporary.unlink(missing_ok=True)
                    raise
        return sha256

    def path_of(self, sha256: str) -> Path:
        """Return the blob's file; see the port."""
        path = self._location(sha256)
        if not path.is_file():
            raise NotFound(f"there is no blob {sha256}")
        return path

    def has(self, sha256: str) -> bool:
        """Tell whether the blob is there."""
        return self._location(sha256).is_file()

    def size_bytes(self, sha256: str) -> int:
        """Return the blob's length; see the port."""
        return self.path_of(sha256).stat().st_size

    def stored_sha256(self, sha256: str) -> str:
        """Return the digest of the blob's file; see the port."""
        return sha256_file(self.path_of(sha256))

    def delete(self, sha256: str) -> None:
        """Remove the blob; harmless where it is not there."""
        path = self._location(sha256)
        if path.is_file():
            path.unlink(missing_ok=True)
            sync_directory(path.parent)

    def digests(self) -> Iterator[str]:
        """Yield the sha256 of every blob, in rising order."""
        for folder in sorted(self._root.iterdir()):
            if folder.name != _INCOMING and folder.is_dir():
                for blob in sorted(folder.iterdir()):
                    if SHA256_HEX.fullmatch(blob.name):
                        yield blob.name

    def clear_incoming(self, untouched_s: float = 3600.0) -> int:
        """Remove what killed writers left behind and return how many files that were.

        Args:
            untouched_s: how long nobody may have written to a file: another process may be at it.
        """
        removed = 0
        for leftover in list(self._incoming.iterdir()):
            try:
                if time.time() - leftover.stat().st_mtime >= untouched_s:
                    leftover.unlink()
                    removed += 1
            except FileNotFoundError:
                continue  # its writer has just published it
        return removed

    def _location(self, sha256: str) -> Path:
        if not SHA256_HEX.fullmatch(sha256):
            raise NotFound(f"{sha256!r} is not a sha256 in lower-case hexadecimal digits")
        return self._root / sha256[:2] / sha256

    def _publish(self, temporary: Path, sha256: str) -> None:
        target = self._location(sha256)
        with storage_errors(target):
            if not target.parent.is_dir():
                target.parent.mkdir(exist_ok=True)
                sync_directory(self._root)
            temporary.replace(target)
            sync_directory(target.parent)

    def _copied(self, path: Path) -> Path:
        with storage_errors(self._incoming):
            with synced_temporary(self._incoming) as (target, temporary), path.open("rb") as source:
                shutil.copyfileobj(source, target, 1 << 20)
            return temporary
