"""What a manifest alone shows: whose category module it belongs to, and whether anybody asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transplant.artifact.manifest import parse_manifest
from transplant.errors import AdmissionPending, ManifestInvalid, NotFound, SeamMismatch
from transplant.nets.disclosure_layouts import DISCLOSED_KINDS, request_of
from transplant.types import ModuleKind

if TYPE_CHECKING:
    from central.registry.registry import Books
    from transplant.artifact.manifest import Manifest


def check_disclosed(books: Books, manifest: Manifest) -> None:
    """Check what a manifest alone shows, before a byte of the payload is taken; modules pass.

    Statistics must be of the seam of a received category module of this site and category; answers
    must repeat, number by number, the request that the center made about theirs.

    Raises:
        NotFound: if the category module is not here, or was rejected.
        ManifestInvalid: if it is another site's, or nobody asked for such answers.
        SeamMismatch: if the statistics are not of its seam.
    """
    if manifest.kind not in DISCLOSED_KINDS:
        return
    parent = known_parent(books, manifest)
    if manifest.kind is ModuleKind.STATISTICS:
        if manifest.seam != parent.seam:
            raise SeamMismatch(
                f"statistics of a feature map {manifest.seam.to_type()}, and the category module's is "
                f"{parent.seam.to_type()}"
            )
        return
    task = manifest.task
    asked = None if task is None else books.probes.get(parent.module_id, task)
    if task is None or asked is None:
        raise ManifestInvalid(
            f"architecture: nobody asked what {parent.module_id[:12]} answers: list the probe requests first"
        )
    told = request_of(manifest.architecture.to_type(), task)
    if told != asked:
        raise ManifestInvalid(f"architecture: these answers are to {told}, and {asked} was asked")


def known_parent(books: Books, manifest: Manifest) -> Manifest:
    """Return the manifest of the only parent: a category module of the same site and category.

    It may be received and not decided about.

    Raises:
        NotFound: if it is not here, or was rejected.
        ManifestInvalid: if it is another site's or category's, or no category module.
    """
    (module_id,) = manifest.parents
    parent = parse_manifest(document_of_parent(books, manifest, module_id))
    if (parent.site, parent.category, parent.kind) != (manifest.site, manifest.category, ModuleKind.CATEGORY):
        raise ManifestInvalid("parents: not a category module of this site and category")
    return parent


def registered_parent(books: Books, manifest: Manifest) -> Manifest:
    """Return the same where it is registered.

    Raises:
        AdmissionPending: if it is received and not decided about.
        NotFound, ManifestInvalid: as `known_parent` does.
    """
    parent = known_parent(books, manifest)
    if not books.modules.has(parent.module_id):
        raise AdmissionPending(f"the category module {parent.module_id[:12]} is not admitted yet")
    return parent


def document_of_parent(books: Books, manifest: Manifest, parent_id: str) -> bytes:
    """Return the parent's canonical manifest, from the registry or from the queue for admission.

    Raises:
        NotFound: if it is not here, or was rejected.
    """
    if books.modules.has(parent_id):
        return books.modules.get(parent_id).manifest
    upload = books.uploads.get(parent_id)
    if upload is not None and upload.received_at is not None:
        return upload.manifest
    who = "this task module" if manifest.kind is ModuleKind.TASK else f"these {manifest.kind}"
    rejected = books.admissions.rejection(parent_id)
    if rejected is not None and rejected.site == manifest.site:
        raise NotFound(f"category module {parent_id[:12]} of {who} was rejected: UploadStatus tells why")
    raise NotFound(f"category module {parent_id[:12]} of {who} is not here: push it first")
