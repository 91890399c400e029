"""Admission of what a site tells beside weights: statistics of its features, answers to a probe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transplant.artifact.disclosed import load_answers, load_statistics
from transplant.artifact.manifest import parse_manifest
from transplant.errors import ManifestInvalid, NotFound, SeamMismatch
from transplant.nets.disclosure_layouts import DISCLOSED_KINDS, request_of
from transplant.types import ModuleKind

if TYPE_CHECKING:
    from pathlib import Path

    from central.registry.registry import Books
    from central.usecases.center import Center
    from transplant.artifact.manifest import Manifest


def check_disclosed(books: Books, manifest: Manifest) -> None:
    """Check what a manifest alone shows, before a byte of the payload is taken; modules pass.

    Statistics must be of the seam of a registered category module of this site and category; answers
    must repeat, number by number, the request that the center made about theirs.

    Raises:
        NotFound: if the category module is not registered.
        ManifestInvalid: if it is another site's, or nobody asked for such answers.
        SeamMismatch: if the statistics are not of its seam.
    """
    if manifest.kind not in DISCLOSED_KINDS:
        return
    parent = registered_parent(books, manifest)
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


def admit_disclosed(center: Center, manifest: Manifest, payload: Path) -> None:
    """Check uploaded statistics or answers: lineage, bytes, numbers, and what they must be to be used.

    Raises:
        ArtifactRejected: the subclass says which check failed.
        NotFound: if the category module is not registered.
    """
    with center.registry.read() as books:
        check_disclosed(books, manifest)
    if manifest.kind is ModuleKind.STATISTICS:
        load_statistics(manifest, payload)
    else:
        load_answers(manifest, payload)


def registered_parent(books: Books, manifest: Manifest) -> Manifest:
    """Return the manifest of the only parent: a category module of the same site and category.

    Raises:
        NotFound: if it is not registered.
        ManifestInvalid: if it is another site's or category's, or no category module.
    """
    (module_id,) = manifest.parents
    try:
        parent = parse_manifest(books.modules.get(module_id).manifest)
    except NotFound as error:
        who = "this task module" if manifest.kind is ModuleKind.TASK else f"these {manifest.kind}"
        raise NotFound(f"category module {module_id[:12]} of {who} is not here: push it first") from error
    if (parent.site, parent.category, parent.kind) != (manifest.site, manifest.category, ModuleKind.CATEGORY):
        raise ManifestInvalid("parents: not a category module of this site and category")
    return parent
