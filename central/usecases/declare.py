"""A site announces a module; the answer says which of its bytes are still missing."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from central.registry.audit_book import Action, actor_of
from central.registry.values import DeclaredUpload
from central.usecases.admit_disclosed import check_disclosed
from transplant.artifact.manifest import check_layout, parse_manifest
from transplant.errors import NotAllowed, NotFound, QuotaExceeded, StorageFull, rejection_of
from transplant.rpc.messages import Declared, UploadPhase, UploadState
from transplant.types import ByteRange, ModuleKind, Role

if TYPE_CHECKING:
    from central.registry.registry import Books
    from central.usecases.center import Center
    from transplant.artifact.manifest import Manifest
    from transplant.types import Identity


def declare(center: Center, caller: Identity, manifest: Manifest) -> Declared:
    """Open an upload for a module, or find the one that is open, or say that it is registered already.

    A module that was rejected is not taken a second time: the same bytes would be rejected again.

    Raises:
        ArtifactRejected, NotFound: what admission found, where this very module was rejected.
        TooLarge, ManifestInvalid, UnknownArchitecture: if the manifest breaks a rule.
        NotAllowed: if the seal is another site's, the category is not the caller's, or it is an adapter.
        NotFound: if it is statistics or answers of a category module that is not here.
        QuotaExceeded: if the site has used up its quota.
        StorageFull: if the disk has no room for it.
    """
    check_layout(manifest, center.policy.limits)
    module_id = manifest.module_id
    with center.registry.write() as books:
        check_ownership(books, caller, manifest)
        if books.modules.has(module_id):
            return Declared("", module_id, (), registered=True)
        raise_rejection(books, module_id)
        upload = books.uploads.get(module_id)
        if upload is None:
            check_disclosed(books, manifest)
            _check_room(center, books, caller, manifest)
            upload = DeclaredUpload(
                upload_id=module_id,
                site=caller.name,
                payload_sha256=manifest.payload_sha256,
                payload_bytes=manifest.payload_bytes,
                manifest=manifest.canonical_bytes(),
                declared_at=center.clock.now(),
            )
            books.uploads.add(upload)
            told = {"kind": manifest.kind.value, "category": manifest.category}
            books.audit.append(
                actor_of(caller), Action.MODULE_DECLARED, module_id, bytes=manifest.payload_bytes, **told
            )
    return Declared(upload.upload_id, module_id, missing_of(center, upload), registered=False)


def upload_status(center: Center, caller: Identity, upload_id: str) -> UploadState:
    """Return how far an upload has come, and what was decided about its module.

    Raises:
        NotFound: if the caller has no such upload and no verdict about its module.
    """
    with center.registry.read() as books:
        upload = books.uploads.get(upload_id)
        if upload is not None and upload.site == caller.name:
            missing = missing_of(center, upload)
            durable = missing[0].start if missing else upload.payload_bytes
            phase = UploadPhase.RECEIVING if upload.received_at is None else UploadPhase.RECEIVED
            return UploadState(durable, missing, phase, upload_id)
        verdict = books.admissions.of(upload_id)
        figures = {} if verdict is None else dict(verdict.figures)
        if books.modules.has(upload_id):
            module = books.modules.get(upload_id)
            if module.site == caller.name:
                size = module.payload_bytes
                return UploadState(size, (), UploadPhase.REGISTERED, upload_id, figures=figures)
        rejected = books.admissions.rejection(upload_id)
        if rejected is not None and rejected.site == caller.name:
            size, told = rejected.payload_bytes, (rejected.error, rejected.reason)
            return UploadState(size, (), UploadPhase.REJECTED, upload_id, *told, figures=figures)
    raise NotFound(f"no upload {upload_id[:80]}")


def raise_rejection(books: Books, module_id: str) -> None:
    """Raise what admission found where it has rejected a module; others pass.

    Raises:
        ArtifactRejected, NotFound: with the reasons.
    """
    rejected = books.admissions.rejection(module_id)
    if rejected is not None:
        raise rejection_of(rejected.error, rejected.reason)


def upload_of(books: Books, caller: Identity, upload_id: str) -> DeclaredUpload:
    """Return an upload of the caller.

    Raises:
        NotFound: if there is none, or it is another site's.
    """
    upload = books.uploads.get(upload_id)
    if upload is None or upload.site != caller.name:
        raise NotFound(f"no upload {upload_id[:80]}; declare the module again")
    return upload


def check_open_upload(books: Books, caller: Identity, upload_id: str) -> None:
    """Check that bytes of an upload may still come in. One that is registered by now has had its rights.

    Raises:
        NotAllowed: if the site has lost the right to its category since.
    """
    upload = books.uploads.get(upload_id)
    if upload is not None and upload.site == caller.name:
        check_ownership(books, caller, manifest_of(upload.manifest))


def check_ownership(books: Books, caller: Identity, manifest: Manifest) -> None:
    """Check that the caller may bring this module.

    Raises:
        NotAllowed: if not; the message says which rule.
    """
    if caller.role is not Role.SITE or manifest.site != caller.name:
        raise NotAllowed(
            f"the seal says site {manifest.site}, the certificate says {caller.role.value} {caller.name}"
        )
    if manifest.kind is ModuleKind.ADAPTER:
        raise NotAllowed("adapters are made by the center only")
    allowed = books.sites.categories(caller.name)
    if manifest.category not in allowed:
        raise NotAllowed(
            f"site {caller.name} may not bring the category {manifest.category}; "
            f"it may bring {', '.join(sorted(allowed)) or 'none'}"
        )


def missing_of(center: Center, upload: DeclaredUpload) -> tuple[ByteRange, ...]:
    """Return the bytes of an upload that are not durable yet."""
    if upload.received_at is not None:
        return ()
    if center.parts.taken(upload.upload_id, upload.payload_bytes) and center.store.has(upload.payload_sha256):
        return ()  # a crash fell between the move into the store and the note of it
    start = center.parts.durable_offset(upload.upload_id)
    return (ByteRange(start, upload.payload_bytes),) if start < upload.payload_bytes else ()


def manifest_of(document: bytes) -> Manifest:
    """Rebuild a manifest from the registry."""
    return parse_manifest(document)


def _check_room(center: Center, books: Books, caller: Identity, manifest: Manifest) -> None:
    quota, use = center.policy.quota, books.uploads.use_of(caller.name)
    if use.open_uploads >= quota.open_uploads:
        raise QuotaExceeded(
            f"site {caller.name} has {use.open_uploads} uploads open, which is the limit: finish one first"
        )
    modules = use.modules + use.received
    if modules + use.open_uploads + use.rejected >= quota.modules:
        raise QuotaExceeded(
            f"site {caller.name} has {modules} modules and {use.rejected} rejected ones; "
            f"its quota is {quota.modules}"
        )
    wanted = use.registered_bytes + use.declared_bytes + manifest.payload_bytes
    if wanted > quota.bytes:
        raise QuotaExceeded(
            f"with this module site {caller.name} would use {wanted} bytes; its quota is {quota.bytes}"
        )
    free = shutil.disk_usage(center.parts.root).free - quota.disk_reserve_bytes
    if manifest.payload_bytes > free:
        raise StorageFull(
            f"the center has room for {max(free, 0)} bytes; this module has {manifest.payload_bytes}"
        )
