"""Admission: may this module become part of the registry? Nothing is registered before all is checked."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from central.admission.orders import ExamineOrder, Finding
from central.registry.audit_book import CENTRAL, Action
from central.registry.events_book import MODULE_ACCEPTED, MODULE_REJECTED
from central.registry.values import Admission, AdmissionVerdict
from central.usecases.admit_disclosed import check_disclosed, registered_parent
from transplant.artifact.manifest import parse_manifest
from transplant.errors import (
    ArtifactRejected,
    ManifestInvalid,
    NotFound,
    RegistryDamaged,
    SeamMismatch,
    TransferForbidden,
)
from transplant.nets.disclosure_layouts import DISCLOSED_KINDS
from transplant.types import ModuleKind

if TYPE_CHECKING:
    from pathlib import Path

    from central.admission.examiner import Examiner
    from central.registry.registry import Books
    from central.registry.values import DeclaredUpload
    from central.usecases.center import Center
    from transplant.artifact.manifest import Manifest

log = logging.getLogger(__name__)

_LENDERS = 4
_NETS = (ModuleKind.CATEGORY, ModuleKind.ADAPTER, ModuleKind.TASK)  # a whole route lends its adapter, too
_COPIES = 6  # of the payload, that building a net from it may take: mapped, decoded, as float32, loaded


def admit_upload(center: Center, examiner: Examiner, upload: DeclaredUpload) -> Admission | None:
    """Decide about a received module: it is registered, or rejected with reasons and figures.

    The verdict, the module and the end of its upload are one transaction; until then nothing has changed,
    so that a crash at any point only means that it is done once more.

    Returns:
        The verdict; None if another one fell meanwhile.

    Raises:
        AdmissionPending: if its category module is not decided about yet, or nothing can be examined now.
        RegistryDamaged: if the store has lost the payload.
    """
    manifest = parse_manifest(upload.manifest)
    try:
        finding = _examined(center, examiner, upload, manifest)
    except (ArtifactRejected, NotFound) as refused:
        finding = Finding(refused.code(), str(refused))
    admission = _register(center, upload, manifest, finding)
    center.parts.remove(upload.upload_id)
    center.bell.ring()
    return admission


def parent_of(books: Books, manifest: Manifest) -> Manifest | None:
    """Return the registered category module that an artifact belongs to; None for a category module.

    Raises:
        AdmissionPending: if it is received and not decided about yet.
        NotFound: if it is not here, or was rejected.
        ManifestInvalid: if the manifest names no parent where it must, or somebody else's.
        TransferForbidden: if a teacher learned from a module that its site does not lend.
        SeamMismatch: if the two do not fit.
    """
    if manifest.kind is ModuleKind.CATEGORY:
        check_lenders(books, manifest)
        return None
    if len(manifest.parents) != 1:
        raise ManifestInvalid("parents: a task module has one, the category module it was trained on")
    parent = registered_parent(books, manifest)
    if manifest.kind in DISCLOSED_KINDS:
        check_disclosed(books, manifest)
    elif parent.architecture != manifest.architecture:
        raise SeamMismatch("a task module has the architecture of the category module it was trained on")
    return parent


def check_lenders(books: Books, manifest: Manifest) -> None:
    """Check what a category module's teacher learned from: its parents, known here or public nets.

    Raises:
        ManifestInvalid: if they are more than one net and its parts, or no nets.
        TransferForbidden: if another site's licence of use does not allow it.
    """
    if len(manifest.parents) > _LENDERS:
        raise ManifestInvalid(f"parents: a category module names at most {_LENDERS}, whom it learned from")
    for parent_id in manifest.parents:
        if not books.modules.has(parent_id):
            continue  # a public net, or another center's: all that can be told about it is its digest
        lender = parse_manifest(books.modules.get(parent_id).manifest)
        if lender.kind not in _NETS:
            raise ManifestInvalid(f"parents: a teacher learns from nets, not from {lender.kind}")
        if lender.transfer_forbidden and lender.site != manifest.site:
            raise TransferForbidden(
                f"site {lender.site} does not allow that other sites learn from module {parent_id[:12]}"
            )


def _examined(center: Center, examiner: Examiner, upload: DeclaredUpload, manifest: Manifest) -> Finding:
    with center.registry.read() as books:
        parent = parent_of(books, manifest)
    paths = [_payload(center, each) for each in (manifest, parent) if each is not None]  # kept until the end
    limits = center.policy.admission
    bytes_in_all = manifest.payload_bytes + (0 if parent is None else parent.payload_bytes)
    order = ExamineOrder(
        manifest=upload.manifest.decode(),
        payload=str(paths[0]),
        cpu_s=limits.cpu_s,
        memory_bytes=limits.memory_bytes + _COPIES * bytes_in_all,
        parent_manifest="" if parent is None else parent.canonical_bytes().decode(),
        parent_payload="" if parent is None else str(paths[1]),
    )
    return examiner.examine(order)


def _payload(center: Center, manifest: Manifest) -> Path:
    try:
        return center.store.path_of(manifest.payload_sha256)
    except NotFound as error:
        raise RegistryDamaged(
            f"the store has lost the payload of module {manifest.module_id[:12]}, which was received"
        ) from error


def _register(
    center: Center, upload: DeclaredUpload, manifest: Manifest, finding: Finding
) -> Admission | None:
    """Write the verdict down; a rejected payload leaves the store, unless others have the same bytes."""
    now = center.clock.now()
    admission = Admission(
        module_id=upload.upload_id,
        site=upload.site,
        verdict=AdmissionVerdict.REJECTED if finding.error else AdmissionVerdict.REGISTERED,
        payload_sha256=upload.payload_sha256,
        payload_bytes=upload.payload_bytes,
        at=now,
        error=finding.error,
        reason=finding.reason,
        figures=finding.figures,
        fingerprint=finding.fingerprint,
        seconds=finding.seconds,
    )
    rejected = admission.verdict is AdmissionVerdict.REJECTED
    with center.parts.committing(upload.payload_sha256):  # nobody commits the same bytes meanwhile
        with center.registry.write() as books:
            if books.uploads.get(upload.upload_id) is None:
                return None
            books.uploads.remove(upload.upload_id)
            books.admissions.add(admission)
            if rejected:
                kind, action, detail = MODULE_REJECTED, Action.MODULE_REJECTED, finding.error
            else:
                books.modules.add(manifest, now)
                task = "" if manifest.task is None else manifest.task.value
                kind, action = MODULE_ACCEPTED, Action.MODULE_REGISTERED
                detail = f"{manifest.kind.value} {task}".strip()
            books.events.add(kind, upload.upload_id, now, category=manifest.category, detail=detail)
            told = {"site": upload.site, "payload": upload.payload_sha256, "reason": finding.reason}
            books.audit.append(CENTRAL, action, upload.upload_id, detail=detail, **told)
            sha256 = upload.payload_sha256
            kept = books.modules.blob_in_use(sha256) or books.uploads.use_blob(sha256)
        if rejected and not kept:
            center.store.delete(upload.payload_sha256)
    if rejected:
        short, why = upload.upload_id[:12], finding.reason
        log.info("rejected %s of %s: %s: %s", short, upload.site, finding.error, why)
    return admission
