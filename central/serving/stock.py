"""Lay a published version ready for replicas: modules in a folder, guides from what sites reported."""

from __future__ import annotations

import logging
import os
import shutil
from typing import TYPE_CHECKING

from transplant.artifact.durable_file import storage_errors, write_durably, writing_durably
from transplant.artifact.manifest import parse_manifest
from transplant.artifact.net_document import net_document
from transplant.datafree.learn_guides import learn_guides
from transplant.datafree.procedural_images import procedural_images
from transplant.errors import NotFound, RegistryDamaged
from transplant.nets.architecture_table import image_px
from transplant.types import Task

if TYPE_CHECKING:
    from pathlib import Path

    from central.registry.registry import Registry
    from transplant.artifact.net_folder import NetFolder
    from transplant.nets.route_guide import RouteGuide
    from transplant.ports.blob_store import BlobStore
    from transplant.types import NetVersion

log = logging.getLogger(__name__)

_GUIDE_SEED = 0
_GUIDED_PX = 64
"""Guides take as many passes through every route as there are images: minutes, for large ones."""


def stock_version(
    registry: Registry, store: BlobStore, folder: NetFolder, number: int, guide_images: int
) -> NetVersion:
    """Make sure that a version lies in a folder; what is there is not copied again.

    Args:
        registry: of the center.
        store: of the center.
        folder: where replicas read.
        number: which version; 0: the newest.
        guide_images: synthetic images to learn guides from; 0: learn none. Categories of images over 64
            pixels a side get none.

    Raises:
        NotFound: if there is no such version.
        RegistryDamaged: if the center has lost a module.
        StorageFull: if the disk is full.
    """
    with registry.read() as books:
        version = books.versions.get(number)
        manifests = {each: books.modules.get(each).manifest for each in version.module_ids()}
        figures = {
            (route.category, route.task): dict(books.merges.get(route.merge_key).status.figures)
            for route in version.routes
        }
    document = folder.net / str(version.number) / "net.json"
    if document.is_file() and document.read_bytes() == net_document(version):
        return version
    modules = folder.modules[0]
    for directory in (modules, document.parent):
        with storage_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
    for module_id, manifest in manifests.items():
        if not (modules / f"{module_id}.json").is_file():
            _lay(store, parse_manifest(manifest).payload_sha256, modules / f"{module_id}.safetensors")
            write_durably(modules / f"{module_id}.json", manifest)
    if guide_images:
        _guide(folder, version, figures, guide_images)
    write_durably(document, net_document(version))  # last: where it stands, everything else does
    return version


def error_percent(task: Task, figures: dict[str, float]) -> float | None:
    """Return how often a route errs by its site's verdict (of pixels, for a segmentation); None: not told."""
    if task is Task.CLASSIFICATION:
        return figures.get("transplanted.error")
    accuracy = figures.get("transplanted.pixel_accuracy")
    return None if accuracy is None else 100.0 - accuracy


def _guide(
    folder: NetFolder, version: NetVersion, figures: dict[tuple[str, Task], dict[str, float]], images: int
) -> None:
    net = folder.load_net(version)
    guides: dict[tuple[str, Task], RouteGuide] = {}
    for task in Task:
        lines = [line for line in version.routes if line.task is task]
        sides = {image_px(folder.manifest(line.category_module).architecture.to_type()) for line in lines}
        if len(sides) != 1 or max(sides) > _GUIDED_PX:
            continue  # without guides every temperature is 1, and all routes run
        told = {line.category: error_percent(task, figures[line.category, task]) for line in lines}
        errors = {category: error for category, error in told.items() if error is not None}
        log.info("version %d: learning guides of %d routes for %s", version.number, len(lines), task)
        guides |= learn_guides(net, task, procedural_images(images, sides.pop(), _GUIDE_SEED), errors)
    if guides:
        folder.keep_guides(version, guides)


def _lay(store: BlobStore, sha256: str, path: Path) -> None:
    """Put a blob at `path`: the same file where that is possible, for blobs never change; else a copy."""
    try:
        blob = store.path_of(sha256)
    except NotFound as error:
        raise RegistryDamaged(f"the store has lost the payload {sha256[:12]}") from error
    path.unlink(missing_ok=True)
    try:
        os.link(blob, path)
    except OSError:  # another volume, or a store that caches
        with blob.open("rb") as file, writing_durably(path) as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
