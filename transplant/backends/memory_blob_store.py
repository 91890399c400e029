"""Blobs in memory, for tests and dry runs."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from transplant.artifact.digest import sha256_hex
from transplant.errors import DigestMismatch, NotFound
from transplant.types import SHA256_HEX

if TYPE_CHECKING:
    from collections.abc import Iterator


class MemoryBlobStore:
    """Implements `transplant.ports.blob_store.BlobStore`; `path_of` writes a blob out on first use."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="transplant-blobs-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def put_file(self, path: Path, sha256: str, *, verified: bool = False) -> None:  # noqa: ARG002 - read anyway
        """Take over the file at `path`; see the port."""
        if not self.has(sha256):
            if not path.is_file():
                raise NotFound(f"there is no file {path} and no blob {sha256}")
            data = path.read_bytes()
            actual = sha256_hex(data)
            if actual != sha256:
                raise DigestMismatch(f"{path} has the sha256 {actual}, not {sha256}")
            self._blobs[sha256] = data
        path.unlink(missing_ok=True)

    def put_bytes(self, data: bytes) -> str:
        """Store `data`; see the port."""
        sha256 = sha256_hex(data)
        self._blobs[sha256] = bytes(data)
        return sha256

    def path_of(self, sha256: str) -> Path:
        """Return a file that holds the blob; see the port."""
        data = self._blob(sha256)
        path = self._folder / sha256
        if not path.is_file():
            path.write_bytes(data)
        return path

    def has(self, sha256: str) -> bool:
        """Tell whether the blob is there."""
        return _checked(sha256) in self._blobs

    def size_bytes(self, sha256: str) -> int:
        """Return the blob's length; see the port."""
        return len(self._blob(sha256))

    def stored_sha256(self, sha256: str) -> str:
        """Return the digest of the blob's bytes; see the port."""
        return sha256_hex(self._blob(sha256))

    def delete(self, sha256: str) -> None:
        """Remove the blob; harmless where it is not there."""
        self._blobs.pop(_checked(sha256), None)
        (self._folder / sha256).unlink(missing_ok=True)

    def digests(self) -> Iterator[str]:
        """Yield the sha256 of every blob, in rising order."""
        yield from sorted(self._blobs)

    def _blob(self, sha256: str) -> bytes:
        if not self.has(sha256):
            raise NotFound(f"there is no blob {sha256}")
        return self._blobs[sha256]


def _checked(sha256: str) -> str:
    if not SHA256_HEX.fullmatch(sha256):
        raise NotFound(f"{sha256!r} is not a sha256 in lower-case hexadecimal digits")
    return sha256
