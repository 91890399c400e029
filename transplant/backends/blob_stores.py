"""One text says where the blobs are, for the center and for its workers: a folder, or an S3 URL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transplant.backends.blob_cache import BlobCache
from transplant.backends.local_blob_store import LocalBlobStore
from transplant.backends.s3_address import SCHEME, parse_s3_url
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from transplant.ports.blob_store import BlobStore

CACHE_BYTES = 20 << 30


@dataclass(frozen=True)
class StorePlace:
    """Where blobs are, and where those that are elsewhere are cached.

    Attributes:
        url: a folder, or `s3://bucket/prefix`; see `transplant.backends.s3_address`.
        cache: folder of the cache; a folder of blobs needs none.
        cache_bytes: how much the cache holds.
    """

    url: str
    cache: str = ""
    cache_bytes: int = CACHE_BYTES

    def open(self) -> BlobStore:
        """Return the store."""
        return open_store(self.url, self.cache, self.cache_bytes)

    @property
    def folder(self) -> Path | None:
        """Return the folder of blobs; None where they are elsewhere."""
        return None if self.url.startswith(SCHEME) else Path(self.url)


def check_store_url(url: str) -> str:
    """Return `url` if `open_store` understands it.

    Raises:
        InvalidSettings: if not, saying what would be one.
    """
    if url.startswith(SCHEME):
        parse_s3_url(url)
    elif "://" in url:
        raise InvalidSettings(f"{url!r} is no store: give a folder or s3://bucket/prefix")
    return url


def open_store(url: str, cache: str = "", cache_bytes: int = CACHE_BYTES) -> BlobStore:
    """Return the blob store at `url`.

    Args:
        url: a folder, or `s3://bucket/prefix`; see `transplant.backends.s3_address`.
        cache: folder for blobs that are fetched from elsewhere.
        cache_bytes: how much it holds.

    Raises:
        InvalidSettings: if the URL is none, or the S3 client is not installed.
        StoreUnavailable: if the store does not answer.
    """
    check_store_url(url)
    if not url.startswith(SCHEME):
        return LocalBlobStore(Path(url))
    try:
        from transplant.backends.s3_blob_store import S3BlobStore
    except ModuleNotFoundError as error:
        raise InvalidSettings(
            f"{error.name} is not installed, and {url} needs it: pip install 'transplant[s3]'"
        ) from error
    if not cache:
        raise InvalidSettings(f"the store {url} needs a folder for its cache")
    return S3BlobStore(parse_s3_url(url), BlobCache(Path(cache), cache_bytes))
