"""Publish routes: prove that nothing old changes, then append a version, all or nothing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from central.merge.events import GatesFailed, VersionPublished
from central.merge.forgetting import check_forgetting
from central.registry.audit_book import CENTRAL, Action
from central.registry.events_book import VERSION_PUBLISHED
from central.usecases.module_shelf import ModuleShelf
from central.usecases.move_merge import move_merge
from central.usecases.read_merges import route_of
from transplant.artifact.net_document import net_digest
from transplant.errors import ForgettingDetected
from transplant.types import NetVersion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from central.registry.values import StoredMerge
    from central.usecases.center import Center

log = logging.getLogger(__name__)


def publish_version(center: Center, merge_keys: Sequence[str]) -> NetVersion | None:
    """Add the routes of accepted merges to a new version of the net; return it.

    Merges that are published already, cancelled or not accepted are left out; where none is left,
    nothing happens and None is returned. One caller at a time (the merge loop) publishes.
    A merge that would change anything old is rejected and not published.
    """
    with center.registry.read() as books:
        merges = [m for m in map(books.merges.get, merge_keys) if m.status.accepted and not m.status.ended]
        base = books.versions.newest()
        shelf = ModuleShelf.of(center, books)
    if not merges:
        return None
    version = _successor(base, merges)
    try:
        proof = check_forgetting(base, version, shelf)
        with center.registry.read() as books:
            proof.compare_with_record(books.versions.probe_digests(proof.numerics))
    except ForgettingDetected as error:
        log.error("version %d is not published: %s", version.number, error)  # noqa: TRY400 - no bug of ours
        with center.registry.write() as books:
            for merge in merges:
                move_merge(center, books, merge.task.key, GatesFailed(str(error)))
        center.bell.ring()
        return None
    now = center.clock.now()
    with center.registry.write() as books:
        still = [books.merges.get(merge.task.key).status for merge in merges]
        if any(status.ended or not status.accepted for status in still):
            return None  # cancelled meanwhile: the loop comes back for the others
        books.versions.publish(version, now)
        books.versions.record_proof(version.number, proof.comparisons, proof.numerics, proof.digests)
        for merge in merges:
            move_merge(center, books, merge.task.key, VersionPublished(version.number))
        digest, number = net_digest(version), version.number
        books.events.add(VERSION_PUBLISHED, digest, now, detail=str(number))
        keys = [merge.task.key for merge in merges]
        books.audit.append(CENTRAL, Action.VERSION_PUBLISHED, digest, number=number, merges=keys)
    center.bell.ring()
    log.info("published version %d with %d routes", version.number, len(version.routes))
    return version


def _successor(base: NetVersion | None, merges: Sequence[StoredMerge]) -> NetVersion:
    routes = tuple(map(route_of, merges))
    if base is None:
        return NetVersion(1, None, routes)
    return NetVersion(base.number + 1, net_digest(base), base.routes + routes)
