"""A site says that a module is complete: verify its bytes, store them, and let admission take over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.registry.audit_book import Action, actor_of
from central.usecases.admit_disclosed import document_of_parent
from central.usecases.declare import (
    check_ownership,
    manifest_of,
    missing_of,
    raise_rejection,
    upload_of,
)
from transplant.errors import DigestMismatch, UploadIncomplete
from transplant.types import ModuleKind

if TYPE_CHECKING:
    from central.registry.registry import Books
    from central.registry.values import DeclaredUpload
    from central.usecases.center import Center
    from transplant.artifact.manifest import Manifest
    from transplant.types import Identity


def commit_upload(center: Center, caller: Identity, upload_id: str, sha256: str) -> str:
    """Take an uploaded module into the store and return its id. Calling it again is harmless.

    What is returned for is durable: admission decides about the module whatever happens to this process.
    The order makes a crash harmless: the digest, the blob, then the note that it is received; a site that
    got no answer commits again and finds it where it was.

    Raises:
        NotFound: if the caller has no such upload, or its category module is not here.
        UploadIncomplete: if bytes are missing.
        DigestMismatch: if the bytes are not the declared ones; the upload is thrown away.
        ArtifactRejected: if admission has rejected this module before.
        StorageFull: if the disk is full; the upload stays as it is.
    """
    with center.registry.read() as books:
        if _is_registered(books, caller, upload_id):
            return upload_id
        rejected = books.admissions.rejection(upload_id)
        if rejected is not None and rejected.site == caller.name:
            raise_rejection(books, upload_id)
        payload_sha256 = upload_of(books, caller, upload_id).payload_sha256
    with center.parts.committing(payload_sha256):
        with center.registry.read() as books:
            if _is_registered(books, caller, upload_id):
                return upload_id
            raise_rejection(books, upload_id)
            upload = upload_of(books, caller, upload_id)
            if upload.received_at is not None:
                return upload_id
            manifest = manifest_of(upload.manifest)
            check_ownership(books, caller, manifest)
            _check_parent(books, manifest)
        _check_complete(center, upload, sha256)
        _store(center, upload)
        with center.registry.write() as books:
            books.uploads.receive(upload_id, center.clock.now())
            books.audit.append(
                actor_of(caller), Action.MODULE_COMMITTED, upload_id, payload=upload.payload_sha256
            )
        center.parts.remove(upload_id)
    center.bell.ring()
    return upload_id


def _is_registered(books: Books, caller: Identity, upload_id: str) -> bool:
    return books.modules.has(upload_id) and books.modules.get(upload_id).site == caller.name


def _check_parent(books: Books, manifest: Manifest) -> None:
    """Refuse to wait for a category module that is not here; all else about a parent is admission's.

    Raises:
        NotFound: if it is neither registered nor received.
    """
    if manifest.kind is not ModuleKind.CATEGORY and len(manifest.parents) == 1:
        document_of_parent(books, manifest, manifest.parents[0])


def _check_complete(center: Center, upload: DeclaredUpload, sha256: str) -> None:
    missing = missing_of(center, upload)
    if missing:
        raise UploadIncomplete(
            f"bytes from {missing[0].start} of {upload.payload_bytes} are missing; ask UploadStatus and go on"
        )
    if sha256 != upload.payload_sha256:
        raise DigestMismatch(f"the seal says sha256 {upload.payload_sha256}, the commit says {sha256[:80]}")


def _store(center: Center, upload: DeclaredUpload) -> None:
    """Verify the digest of the bytes that came in, and move them into the store."""
    if center.parts.taken(upload.upload_id, upload.payload_bytes):
        return  # a crash fell behind the move
    actual = center.parts.sha256(upload.upload_id)
    if actual != upload.payload_sha256:
        with center.registry.write() as books:
            books.uploads.remove(upload.upload_id)
        center.parts.remove(upload.upload_id)
        raise DigestMismatch(f"the payload's sha256 is {actual}, the manifest says {upload.payload_sha256}")
    center.store.put_file(center.parts.path(upload.upload_id), actual, verified=True)
