"""Append a version of the net: prove that what it keeps is unchanged, then write it, all or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from central.merge.forgetting import check_forgetting
from central.registry.audit_book import CENTRAL, Action
from central.registry.events_book import VERSION_PUBLISHED
from central.usecases.module_shelf import ModuleShelf
from transplant.artifact.net_document import net_digest
from transplant.types import NetVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from central.registry.registry import Books
    from central.usecases.center import Center
    from transplant.types import Route


@dataclass(frozen=True)
class VersionChange:
    """The next version, and what is different about it.

    Attributes:
        base: the newest version; None before the founding.
        version: what follows it.
        dropped: merge keys of the base's routes that it does not have.
        returned: merge keys of routes of earlier versions that it has again.
    """

    base: NetVersion | None
    version: NetVersion
    dropped: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()


def following(base: NetVersion | None, routes: tuple[Route, ...]) -> NetVersion:
    """Return the version behind `base` with these routes."""
    if base is None:
        return NetVersion(1, None, routes)
    return NetVersion(base.number + 1, net_digest(base), routes)


def append_version(
    center: Center,
    change: VersionChange,
    record: Callable[[Books], bool],
    *,
    actor: str = CENTRAL,
    told: Mapping[str, object] | None = None,
) -> bool:
    """Publish a version; return whether it was.

    Args:
        center: ports and policy.
        change: what to publish.
        record: called first in the transaction that publishes, to write down what else happens with it; it
            returns False, before it writes anything, where nothing is to be published any more.
        actor: who wanted it, for the audit log.
        told: the audit entry's detail.

    Raises:
        ForgettingDetected: if a kept module or route would change, or a route that comes back is not the one
            that was published.
        RegistryConflict: if another version was published meanwhile.
        RegistryDamaged: if a module cannot be read.
    """
    version = change.version
    with center.registry.read() as books:
        shelf = ModuleShelf.of(center, books, version.module_ids())
    proof = check_forgetting(change.base, version, shelf, center.known_answers)
    with center.registry.read() as books:
        proof.compare_with_record(books.versions.probe_digests(proof.numerics))
    now, digest = center.clock.now(), net_digest(version)
    with center.registry.write() as books:
        if not record(books):
            return False
        books.versions.publish(version, now, dropped=change.dropped, returned=change.returned)
        books.versions.record_proof(version.number, proof.comparisons, proof.numerics, proof.digests)
        books.events.add(VERSION_PUBLISHED, digest, now, detail=str(version.number))
        books.audit.append(actor, Action.VERSION_PUBLISHED, digest, number=version.number, **(told or {}))
    center.bell.ring()
    return True
