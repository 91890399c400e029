"""One look at a center: everything is read, nothing is changed. Safe while it serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from central.audit.noted_head import noted_head
from central.fsck.check_files import check_home, check_parts, listed_benches, listed_parts
from central.fsck.check_merges import check_merges
from central.fsck.check_modules import check_modules, check_teachers, check_uploads, check_verdicts
from central.fsck.check_net import check_proofs, check_routes, check_versions
from central.fsck.check_probes import check_probes
from central.fsck.check_rights import check_certificates, check_holders, check_sites
from central.fsck.check_store import (
    check_blobs,
    check_folder,
    check_waiting,
    listed_blobs,
    orphans,
    received_uploads,
)
from central.fsck.check_words import check_requests, check_site_verdicts
from central.fsck.finding import Finding
from central.fsck.replay_log import replay_log
from central.fsck.tables import Tables, read_tables
from central.home import identity_folder, is_serving, known_registry, store_place
from central.registry.database import without_password
from central.registry.inspection import check_release, dangling_references, database_faults
from transplant.errors import AuditChainBroken, CertificateInvalid, DamageFound, RegistryDamaged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography import x509

    from central.fsck.replay_log import Logged
    from central.registry.audit_chain import KnownHead
    from central.registry.registry import Books, Registry
    from central.settings import CentralSettings

_DANGLING = {
    ("routes", "modules"): "route-module-missing",
    ("uploads", "sites"): "upload-site-missing",
}
_CHECKS = (
    check_modules,
    check_verdicts,
    check_teachers,
    check_uploads,
    check_merges,
    check_versions,
    check_routes,
    check_proofs,
)


@dataclass(frozen=True)
class Report:
    """What a look at a center found.

    Attributes:
        findings: damage first, each kind together.
        serving: whether a center served this home meanwhile.
        blobs: how many payloads were read.
        modules: how many modules there are.
        versions: how many versions of the net there are.
    """

    findings: tuple[Finding, ...]
    serving: bool
    blobs: int = 0
    modules: int = 0
    versions: int = 0

    @property
    def damage(self) -> tuple[Finding, ...]:
        """Return what was lost or changed, without warnings."""
        return tuple(each for each in self.findings if each.is_damage)

    def document(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "clean": not self.findings,
            "damaged": bool(self.damage),
            "serving": self.serving,
            "checked": {"blobs": self.blobs, "modules": self.modules, "versions": self.versions},
            "findings": [finding.document() for finding in self.findings],
        }

    def raise_damage(self) -> None:
        """Raise what a command ends on.

        Raises:
            DamageFound: if anything is damaged; warnings alone are none.
        """
        if self.damage:
            first = self.damage[0]
            raise DamageFound(
                f"{len(self.damage)} pieces of damage, the first: {first.explanation.meaning} ({first.where})"
            )


def inspect_center(settings: CentralSettings) -> Report:
    """Check a center's registry, store and files against each other.

    Raises:
        InvalidSettings: if there is no center, or its registry is of another release.
        StoreUnavailable, RegistryUnavailable: if one of them does not answer: then nothing can be said.
    """
    serving = is_serving(settings.home)
    try:
        registry = known_registry(settings)
        try:
            findings, tables = _inspect(settings, registry)
        finally:
            registry.close()
    except RegistryDamaged as error:
        where = without_password(settings.url)
        return Report((Finding("database-damaged", where, str(error)),), serving)
    ordered = tuple(sorted(findings, key=lambda finding: (not finding.is_damage, finding)))
    sizes = [len(tables[table]) for table in ("blobs", "modules", "versions")]
    return Report(ordered, serving, *sizes)


def _inspect(settings: CentralSettings, registry: Registry) -> tuple[set[Finding], Tables]:
    place, uploads = store_place(settings), settings.home / "uploads"
    lost = place.folder is not None and not place.folder.is_dir()
    store = None if lost else place.open()
    parts, benches = listed_parts(uploads), listed_benches(settings.home)
    listed = frozenset[str]() if store is None else listed_blobs(store)
    findings: set[Finding] = set()
    note = _noted(settings.home)  # before the walk: a center that serves notes newer heads than it sees
    with registry.read() as books:
        check_release(books)
        tables = read_tables(books)
        broken = set(_check_audit(note, books))
        logged = None if broken else _replayed(books, broken)
        findings |= {*tables.unreadable, *_check_database(books), *broken}
    if tables.unreadable:
        return findings, tables  # what refers to such a table would look damaged, too
    for check in _CHECKS:
        findings |= set(check(tables))
    if logged is not None:  # a broken log proves nothing about anything else
        findings |= set(_check_told(tables, logged, settings.home))
    waiting: dict[str, Finding] = {}
    if store is None:
        findings.add(Finding("store-missing", str(place.folder)))
    else:
        findings |= set(check_blobs(tables, store))
        waiting = check_waiting(tables, store)
    with registry.read() as books:  # once more: what came in since must not look orphaned
        later = read_tables(books)
    findings |= {*orphans(listed, tables, later), *check_parts(uploads, parts, tables, later)}
    findings |= {waiting[upload_id] for upload_id in received_uploads(later) & set(waiting)}
    findings |= set(check_home(settings.home, benches, tables))
    if place.folder is not None and not lost:
        findings |= set(check_folder(place.folder))
    if store is not None and not any(finding.is_damage for finding in findings):
        findings |= set(check_probes(tables, store))
    return findings, tables


def _check_database(books: Books) -> Iterator[Finding]:
    for fault in database_faults(books):
        yield Finding("database-damaged", "the database's file", fault)
    for found in dangling_references(books):
        kind = _DANGLING.get((found.table, found.target), "reference-missing")
        yield Finding(
            kind, f"{found.table} {found.key}", f"{found.column} {found.value} is not in {found.target}"
        )


def _noted(home: Path) -> KnownHead | AuditChainBroken | None:
    try:
        return noted_head(home)
    except AuditChainBroken as error:
        return error


def _check_audit(note: KnownHead | AuditChainBroken | None, books: Books) -> Iterator[Finding]:
    if isinstance(note, AuditChainBroken):
        yield Finding("audit-chain", "audit.head", str(note))
        note = None
    try:
        books.audit.verify(() if note is None else (note,))
    except AuditChainBroken as error:
        yield Finding("audit-chain", "audit_log", str(error))


def _replayed(books: Books, broken: set[Finding]) -> Logged | None:
    try:
        return replay_log(books.audit.entries())
    except AuditChainBroken as error:
        broken.add(Finding("audit-chain", "audit_log", str(error)))
        return None


def _check_told(tables: Tables, logged: Logged, home: Path) -> Iterator[Finding]:
    for check in (check_sites, check_certificates, check_holders, check_requests):
        yield from check(tables, logged)
    yield from check_site_verdicts(tables, logged, _authority(home))


def _authority(home: Path) -> x509.Certificate | None:
    folder = identity_folder(home)
    try:
        return folder.authority_certificate()
    except CertificateInvalid:
        return None  # a backup without identity
