"""Port: bytes by their sha256."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class BlobStore(Protocol):
    """A content-addressed store. A blob is there whole or not at all, and never changes.

    Every method that takes a digest raises `NotFound` for what is not 64 lower-case hexadecimal
    digits, so that no digest can name a path outside the store. A store that is reached over a
    network raises `StoreUnavailable` from any of them: nothing was half-written, and repeating is harmless.
    """

    def put_file(self, path: Path, sha256: str, *, verified: bool = False) -> None:
        """Take over the file at `path` as the blob `sha256`; afterwards `path` is gone.

        Idempotent: a blob that is there already stays as it is, and a second call after a crash
        (file gone, blob there) is fine.

        Args:
            path: the file; nobody writes to it any more.
            sha256: its digest.
            verified: whether the caller has hashed these bytes as they were written: a store that only has
                to rename the file need not read it once more.

        Raises:
            DigestMismatch: if the file's bytes have another digest; the file is left alone.
            NotFound: if there is neither such a file nor such a blob.
            StorageFull: if the disk is full; the store is as before and the file is left alone.
        """
        ...

    def put_bytes(self, data: bytes) -> str:
        """Store small `data` and return its sha256. Idempotent.

        Raises:
            StorageFull: if the disk is full; the store is as before.
        """
        ...

    def path_of(self, sha256: str) -> Path:
        """Return a local file that holds the blob, to be read and never written.

        Keep the path object until the file is open: a store that caches may drop the file after that.

        Raises:
            NotFound: if there is no such blob.
        """
        ...

    def has(self, sha256: str) -> bool:
        """Tell whether the blob is there."""
        ...

    def size_bytes(self, sha256: str) -> int:
        """Return the blob's length.

        Raises:
            NotFound: if there is no such blob.
        """
        ...

    def stored_sha256(self, sha256: str) -> str:
        """Read the blob where it is kept, all of it, and return the sha256 that its bytes have now.

        Raises:
            NotFound: if there is no such blob.
        """
        ...

    def delete(self, sha256: str) -> None:
        """Remove the blob; harmless where it is not there."""
        ...

    def digests(self) -> Iterator[str]:
        """Yield the sha256 of every blob, in rising order."""
        ...
