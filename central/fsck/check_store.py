"""The blob store: every payload that is needed is there with its own bytes, and nothing else is.

Each blob is read as a whole. Names are listed before the rows are read, and what looks orphaned is looked
up once more afterwards: a center that serves meanwhile stores a payload first and registers it then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.fsck.finding import Finding
from transplant.artifact.digest import sha256_hex
from transplant.errors import NotFound, StoreUnavailable
from transplant.types import SHA256_HEX

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from central.fsck.tables import Tables
    from transplant.ports.blob_store import BlobStore

INCOMING = "incoming"
EMPTY = sha256_hex(b"")


def check_blobs(tables: Tables, store: BlobStore) -> Iterator[Finding]:
    """Read every payload that the registry refers to.

    Raises:
        StoreUnavailable: if the store does not answer: then nothing can be said about it.
    """
    users: dict[str, list[str]] = {}
    for row in tables["modules"]:
        users.setdefault(row["payload_sha256"], []).append(row["module_id"])
    for row in tables["blobs"]:
        sha256 = row["sha256"]
        if sha256 not in users:
            yield Finding("blob-unused", f"blob {sha256}")
        modules = ", ".join(module_id[:12] for module_id in users.get(sha256, []))
        yield from _check_blob(store, sha256, row["size_bytes"], f"of module {modules}" if modules else "")


def check_waiting(tables: Tables, store: BlobStore) -> dict[str, Finding]:
    """Read every payload that waits for admission; return what was found by upload.

    An upload that is decided about meanwhile may lose its payload: look up whether it still waits.

    Raises:
        StoreUnavailable: if the store does not answer.
    """
    known, uploads = tables.by("blobs", "sha256"), tables.by("uploads", "upload_id")
    found: dict[str, Finding] = {}
    for upload_id in received_uploads(tables):
        row = uploads[upload_id]
        if row["payload_sha256"] not in known:
            for finding in _check_blob(store, row["payload_sha256"], row["payload_bytes"], ""):
                found[upload_id] = Finding("upload-blob-missing", f"upload {upload_id}", finding.where)
    return found


def received_uploads(tables: Tables) -> set[str]:
    """Return the ids of uploads that wait for admission."""
    return {row["upload_id"] for row in tables["uploads"] if row["received_at"] is not None}


def _check_blob(store: BlobStore, sha256: str, size_bytes: int, user: str) -> Iterator[Finding]:
    where = f"blob {sha256}"
    try:
        actual = store.stored_sha256(sha256)
        size = store.size_bytes(sha256)
    except NotFound:
        yield Finding("blob-missing", where, user)
        return
    except OSError as error:
        yield Finding("blob-damaged", where, f"{user}: it cannot be read: {error.strerror}")
        return
    if actual != sha256:
        told = (
            f"{user}: {size} bytes instead of {size_bytes}" if size != size_bytes else f"{user}: same length"
        )
        yield Finding("blob-damaged", where, f"{told}, their sha256 is {actual}")
    elif size != size_bytes:
        yield Finding("blob-size", where, f"{size_bytes} in the registry, {size} in the store")


def orphans(listed: Collection[str], *tables: Tables) -> Iterator[Finding]:
    """Tell which listed blobs nothing refers to in any of the states of the registry."""
    used = set[str]().union(*(each.blobs_in_use() for each in tables))
    for sha256 in sorted(set(listed) - used):
        yield Finding("blob-orphan", f"blob {sha256}")


def check_folder(root: Path) -> Iterator[Finding]:
    """Check that a local store's folder holds blobs only, each in its place."""
    for entry in sorted(root.iterdir()):
        if entry.name == INCOMING and entry.is_dir():
            for leftover in sorted(entry.iterdir()):
                yield Finding("unfinished-file", str(leftover))
        elif not entry.is_dir():
            yield Finding("store-stray", str(entry))
        else:
            for blob in sorted(entry.iterdir()):
                placed = SHA256_HEX.fullmatch(blob.name) and blob.name[:2] == entry.name
                if not placed or not blob.is_file():
                    yield Finding("store-stray", str(blob))


def listed_blobs(store: BlobStore) -> frozenset[str]:
    """Return the digests of every blob that can be read back by its name.

    Raises:
        StoreUnavailable: if the store does not answer.
    """
    return frozenset(sha256 for sha256 in store.digests() if _has(store, sha256))


def _has(store: BlobStore, sha256: str) -> bool:
    try:
        return store.has(sha256)
    except StoreUnavailable:
        raise
    except OSError:
        return True
