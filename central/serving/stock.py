"""Lay a published version ready for replicas: modules in a folder, guides from what sites reported."""

from __future__ import annotations

import logging
import os
import shutil
from typing import TYPE_CHECKING

from central.usecases.route_figures import route_reports
from transplant.artifact.durable_file import storage_errors, write_durably, writing_durably
from transplant.artifact.manifest import parse_manifest
from transplant.artifact.net_document import net_document
from transplant.datafree.learn_guides import learn_guides
from transplant.datafree.procedural_images import procedural_images
from transplant.errors import NotFound, RegistryDamaged
from transplant.nets.architecture_table import image_px
from transplant.types import RouteReport, Task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from central.registry.registry import Registry
    from transplant.artifact.net_folder import NetFolder
    from transplant.nets.route_guide import RouteGuide
    from transplant.ports.blob_store import BlobStore
    from transplant.types import NetVersion

log = logging.getLogger(__name__)

_GUIDE_SEED, _GUIDE_IMAGES = 0, 256
_GUIDED_PX, _ANY_PX = 64, 1 << 16
"""Guides take as many passes through every route as there are images: minutes, for large ones."""


def stock_version(
    registry: Registry,
    store: BlobStore,
    folder: NetFolder,
    number: int,
    guide_images: int | None = None,
    drawings: float = 0.5,
) -> NetVersion:
    """Make sure that a version lies in a folder; what is there is not copied again.

    Args:
        registry: of the center.
        store: of the center.
        folder: where replicas read.
        number: which version; 0: the newest.
        guide_images: synthetic images to learn guides from, whatever their size; 0: learn none; None: as many
            as are usual, for categories of images of up to 64 pixels a side.
        drawings: share of drawings among them, as the center learns by.

    Raises:
        NotFound: if there is no such version.
        RegistryDamaged: if the center has lost a module.
        StorageFull: if the disk is full.
    """
    with registry.read() as books:
        version = books.versions.get(number)
        manifests = {each: books.modules.get(each).manifest for each in version.module_ids()}
        reports = route_reports(books, version)
    document = folder.net / str(version.number) / "net.json"
    if document.is_file() and document.read_bytes() == net_document(version):
        if guide_images and not folder.has_guides(version):  # asked for since, in so many words
            _guide(folder, version, reports, guide_images, drawings, _ANY_PX)
        return version
    modules = folder.modules[0]
    for directory in (modules, document.parent):
        with storage_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
    for module_id, manifest in manifests.items():
        if not (modules / f"{module_id}.json").is_file():
            _lay(store, parse_manifest(manifest).payload_sha256, modules / f"{module_id}.safetensors")
            write_durably(modules / f"{module_id}.json", manifest)
    if guide_images is None:
        _guide(folder, version, reports, _GUIDE_IMAGES, drawings, _GUIDED_PX)
    elif guide_images:
        _guide(folder, version, reports, guide_images, drawings, _ANY_PX)
    write_durably(document, net_document(version))  # last: where it stands, everything else does
    return version


def _guide(
    folder: NetFolder,
    version: NetVersion,
    reports: Mapping[tuple[str, Task], RouteReport],
    images: int,
    drawings: float,
    largest_px: int,
) -> None:
    net = folder.load_net(version)
    guides: dict[tuple[str, Task], RouteGuide] = {}
    for task in Task:
        lines = [line for line in version.routes if line.task is task]
        sides = {image_px(folder.manifest(line.category_module).architecture.to_type()) for line in lines}
        if len(sides) != 1 or max(sides) > largest_px:
            if lines:
                log.info(
                    "version %d: no guides for %s, images of %s pixels: temperatures are 1, all routes run "
                    "(--guide-images learns from images of any one size, and takes its time)",
                    version.number,
                    task,
                    sorted(sides),
                )
            continue
        told = {category: report for (category, of), report in reports.items() if of is task}
        log.info("version %d: learning guides of %d routes for %s", version.number, len(lines), task)
        shown = procedural_images(images, sides.pop(), _GUIDE_SEED, drawings)
        guides |= learn_guides(net, task, shown, told)
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
