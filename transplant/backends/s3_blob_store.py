"""Blobs in an S3-compatible object store: `<prefix>/<first two digits>/<digest>`, read through a local cache.

No temporary key: S3 itself shows an object whole or not at all, whether it was put in one piece or in
parts (completing a multipart upload is what makes it visible), and copying from a temporary key would
send every byte through the store twice and fail above 5 GiB. The digest is taken from the very bytes
that are sent; where it is not the declared one, the last part is not sent and the upload is aborted.
"""

from __future__ import annotations

import hashlib
import re
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

import obstore
from obstore.store import S3Store

from transplant.artifact.digest import sha256_hex
from transplant.backends.s3_errors import s3_configuration, s3_errors
from transplant.errors import DigestMismatch, NotFound
from transplant.types import SHA256_HEX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from transplant.backends.blob_cache import BlobCache
    from transplant.backends.s3_address import S3Address

_PART_BYTES = 5 << 20  # the least that S3 takes; memory is a few of them
_MOST_PARTS = 10_000
_AT_ONCE = 2
_READ_BYTES = 1 << 20
_KEY = re.compile(r"[0-9a-f]{2}/([0-9a-f]{64})")
_LOCKS = 64
# A part must be sent, and each read answered, within the read timeout: 5 MiB pass a link of 0.7 Mbit/s. The
# default of 30 s for a whole request would cut every long download off.
_CLIENT = {"connect_timeout": "10s", "read_timeout": "60s", "timeout": "2h"}
_RETRIES = 4
_PATIENCE = timedelta(seconds=60)
_BACKOFF = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2}


class S3BlobStore:
    """Implements `transplant.ports.blob_store.BlobStore` for any number of processes on any machines.

    Credentials come from the usual environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, ...), and so do
    region and endpoint where the address does not say them. They must allow listing: without it S3 answers
    "forbidden" where it means "not there". A lifecycle rule should remove what killed processes left of
    multipart uploads; it is invisible otherwise.

    Args:
        address: where the bucket is.
        cache: where blobs are read from.
        retries: how often a failed request is repeated, with jitter.

    Raises:
        InvalidSettings: if the address cannot be used.
        StoreUnavailable: if the store does not answer, has no such bucket, or refuses us.
    """

    def __init__(self, address: S3Address, cache: BlobCache, *, retries: int = _RETRIES) -> None:
        self._name = str(address)
        self._cache = cache
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        options: dict[str, Any] = {"bucket": address.bucket}
        given = {"prefix": address.prefix, "endpoint": address.endpoint, "region": address.region}
        options |= {name: value for name, value in given.items() if value}
        client = _CLIENT | {"allow_http": address.endpoint.startswith("http://")}
        retry = {"max_retries": retries, "retry_timeout": _PATIENCE, "backoff": _BACKOFF}
        with s3_configuration(self._name):
            self._store = S3Store(**options, client_options=client, retry_config=retry)  # pyright: ignore[reportArgumentType]
        with s3_errors(self._name):
            next(iter(obstore.list(self._store)), None)  # a missing bucket must not look like an empty one

    def put_file(self, path: Path, sha256: str, *, verified: bool = False) -> None:  # noqa: ARG002 - read anyway
        """Take over the file at `path`; see the port."""
        if self.has(sha256):
            path.unlink(missing_ok=True)
            return
        if not path.is_file():
            raise NotFound(f"there is no file {path} and no blob {sha256}")
        size_bytes = path.stat().st_size
        part_bytes = max(_PART_BYTES, -(-size_bytes // _MOST_PARTS))
        with path.open("rb") as file, s3_errors(self._name):
            if size_bytes <= part_bytes:
                data = file.read()
                _compare(sha256_hex(data), sha256, path)
                obstore.put(self._store, _key(sha256), data, use_multipart=False)
            else:
                parts = _checked_parts(file, part_bytes, sha256, path)
                obstore.put(
                    self._store,
                    _key(sha256),
                    parts,
                    use_multipart=True,
                    chunk_size=part_bytes,
                    max_concurrency=_AT_ONCE,
                )
        self._cache.adopt(path, sha256)

    def put_bytes(self, data: bytes) -> str:
        """Store small `data`; see the port."""
        sha256 = sha256_hex(data)
        if not self.has(sha256):
            with s3_errors(self._name):
                obstore.put(self._store, _key(sha256), data, use_multipart=False)
        return sha256

    def path_of(self, sha256: str) -> Path:
        """Return a leased file of the cache that holds the blob; see the port.

        A blob that was read here before needs no store: it is found in the cache while the store is away.

        Raises:
            NotFound: if there is no such blob.
            RegistryDamaged: if the store holds other bytes under this digest.
            StorageFull: if the cache's disk is full.
            StoreUnavailable: if the store does not answer.
        """
        key = _key(sha256)
        with self._locks[int(sha256[:2], 16) % _LOCKS]:  # who comes second finds what the first one fetched
            cached = self._cache.lease(sha256)
            if cached is not None:
                return cached

            def write(file: BinaryIO) -> None:
                with s3_errors(self._name, sha256):
                    for block in obstore.get(self._store, key).stream(min_chunk_size=_READ_BYTES):
                        file.write(block)

            return self._cache.fill(sha256, self.size_bytes(sha256), write)

    def has(self, sha256: str) -> bool:
        """Tell whether the blob is there."""
        try:
            self.size_bytes(sha256)
        except NotFound:
            if SHA256_HEX.fullmatch(sha256):
                return False
            raise
        return True

    def size_bytes(self, sha256: str) -> int:
        """Return the blob's length; see the port."""
        key = _key(sha256)
        with s3_errors(self._name, sha256):
            return obstore.head(self._store, key)["size"]

    def stored_sha256(self, sha256: str) -> str:
        """Return the digest of what the store itself holds, not of the cache; see the port."""
        key, digest = _key(sha256), hashlib.sha256()
        with s3_errors(self._name, sha256):
            for block in obstore.get(self._store, key).stream(min_chunk_size=_READ_BYTES):
                digest.update(block)
        return digest.hexdigest()

    def delete(self, sha256: str) -> None:
        """Remove the blob here; another machine's cache may hold it until it needs the room."""
        key = _key(sha256)
        with s3_errors(self._name):
            obstore.delete(self._store, key)
        self._cache.drop(sha256)

    def digests(self) -> Iterator[str]:
        """Yield the sha256 of every blob, in rising order; not every S3-compatible store lists in order."""
        found: list[str] = []
        with s3_errors(self._name):
            for page in obstore.list(self._store):
                keys = (_KEY.fullmatch(entry["path"]) for entry in page)
                found += [key[1] for key in keys if key]
        yield from sorted(found)


def _key(sha256: str) -> str:
    if not SHA256_HEX.fullmatch(sha256):
        raise NotFound(f"{sha256!r} is not a sha256 in lower-case hexadecimal digits")
    return f"{sha256[:2]}/{sha256}"


def _checked_parts(file: BinaryIO, part_bytes: int, sha256: str, path: Path) -> Iterator[bytes]:
    """Yield a file in parts, the last one only if all of them have the right digest together."""
    digest = hashlib.sha256()
    part = file.read(part_bytes)
    while part:
        digest.update(part)
        following = file.read(part_bytes)
        if not following:
            _compare(digest.hexdigest(), sha256, path)
        yield part
        part = following


def _compare(actual: str, sha256: str, path: Path) -> None:
    if actual != sha256:
        raise DigestMismatch(f"{path} has the sha256 {actual}, not {sha256}")
