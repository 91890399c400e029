"""A site says that a module is complete: check it, store it, register it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.registry.events_book import MODULE_ACCEPTED
from central.usecases.admit_module import admit_module
from central.usecases.declare import check_ownership, manifest_of, missing_of, upload_of
from transplant.errors import ArtifactRejected, DigestMismatch, UploadIncomplete

if TYPE_CHECKING:
    from central.registry.values import DeclaredUpload
    from central.usecases.center import Center
    from transplant.artifact.manifest import Manifest
    from transplant.types import Identity


def commit_upload(center: Center, caller: Identity, upload_id: str, sha256: str) -> str:
    """Register an uploaded module and return its id. Calling it again is harmless.

    The order makes a crash harmless too: checks, a note that they are passed, the blob, and then the
    module, the event and the end of the upload in one transaction. A rejected upload is thrown away.

    Raises:
        NotFound: if the caller has no such upload.
        UploadIncomplete: if bytes are missing.
        ArtifactRejected: if a check fails; nothing of the module is registered.
        StorageFull: if the disk is full; the upload stays as it is.
    """
    with center.parts.committing(upload_id):
        with center.registry.read() as books:
            if books.modules.has(upload_id) and books.modules.get(upload_id).site == caller.name:
                return upload_id
            upload = upload_of(books, caller, upload_id)
            manifest = manifest_of(upload.manifest)
            check_ownership(books, caller, manifest)
        _check_complete(center, upload, sha256)
        if not (upload.admitted and center.store.has(upload.payload_sha256)):
            _admit(center, upload, manifest)
        center.store.put_file(center.parts.path(upload_id), upload.payload_sha256)
        _register(center, upload, manifest)
        center.parts.remove(upload_id)
    center.bell.ring()
    return upload_id


def _check_complete(center: Center, upload: DeclaredUpload, sha256: str) -> None:
    missing = missing_of(center, upload)
    if missing:
        raise UploadIncomplete(
            f"bytes from {missing[0].start} of {upload.payload_bytes} are missing; ask UploadStatus and go on"
        )
    if sha256 != upload.payload_sha256:
        raise DigestMismatch(f"the seal says sha256 {upload.payload_sha256}, the commit says {sha256[:80]}")


def _admit(center: Center, upload: DeclaredUpload, manifest: Manifest) -> None:
    try:
        admit_module(center, manifest, center.parts.path(upload.upload_id))
    except ArtifactRejected:
        with center.registry.write() as books:
            books.uploads.remove(upload.upload_id)
        center.parts.remove(upload.upload_id)
        raise
    with center.registry.write() as books:
        books.uploads.admit(upload.upload_id)


def _register(center: Center, upload: DeclaredUpload, manifest: Manifest) -> None:
    now = center.clock.now()
    with center.registry.write() as books:
        if books.modules.add(manifest, now):
            detail = f"{manifest.kind.value} {'' if manifest.task is None else manifest.task.value}".strip()
            books.events.add(
                MODULE_ACCEPTED, upload.upload_id, now, category=manifest.category, detail=detail
            )
        books.uploads.remove(upload.upload_id)
