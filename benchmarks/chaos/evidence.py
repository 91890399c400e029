"""What is gathered after a run: from the sites' disks, over the wire, and from the stopped center's files."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from typing import TYPE_CHECKING

from benchmarks.chaos import journal
from benchmarks.chaos.check import Evidence, Promises
from central.fsck.inspect_center import inspect_center
from central.home import open_known_registry
from central.registry.audit_book import Action
from central.registry.audit_chain import KnownHead
from edge.outbox import EntryState
from transplant.artifact.codec import read_manifest
from transplant.artifact.digest import sha256_file
from transplant.artifact.net_document import net_digest
from transplant.errors import AuditChainBroken, TransplantError
from transplant.types import ModuleKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.chaos.center import ChaosCenter
    from benchmarks.chaos.observer import Seen
    from benchmarks.chaos.site import SiteFolder
    from central.registry.audit_chain import AuditEntry
    from central.settings import CentralSettings
    from transplant.rpc.client import CentralClient


def promises_to(sites: Mapping[str, SiteFolder]) -> Promises:
    """Return what the sites know, from their outboxes and journals."""
    promises = Promises()
    for name, folder in sites.items():
        promises.attempted |= folder.attempted()
        known = folder.acknowledged()
        for entry in folder.outbox.entries():
            if entry.state is EntryState.REGISTERED:
                promises.registered.add(entry.module_id)
            if entry.state in (EntryState.COMMITTED, EntryState.REGISTERED):
                known.add(entry.module_id)
            if entry.state is EntryState.REJECTED and entry.rejection is not None:
                promises.rejected[entry.module_id] = f"{entry.rejection.error}: {entry.rejection.reason}"
        promises.committed |= dict.fromkeys(known, name)
    return promises


def attempted_by(sites: Iterable[SiteFolder]) -> set[str]:
    """Return every module whose commit was asked for by now."""
    return set[str]().union(*(folder.attempted() for folder in sites))


def last_errors(sites: Mapping[str, SiteFolder]) -> dict[str, str]:
    """Return the sites that did not come to their end, with what they noted last."""
    unfinished: dict[str, str] = {}
    for name, folder in sites.items():
        told = list(journal.notes(folder.journal))
        if not any(each.what == journal.DONE for each in told):
            errors = [f"{each.subject}: {each.detail}" for each in told if each.what == journal.ERROR]
            unfinished[name] = errors[-1] if errors else "none"
    return unfinished


def gather_online(
    client: CentralClient, sites: Mapping[str, SiteFolder], promises: Promises, scratch: Path
) -> Evidence:
    """Ask a served center for every module that it lists, and compare it with what its site sealed."""
    found = Evidence()
    sealed = {
        path.stem: path for folder in sites.values() for path in folder.home.sealed.glob("*.safetensors")
    }
    for summary in client.list_modules():
        if summary.kind is not ModuleKind.ADAPTER:
            found.listed.append(summary.module_id)
    for module_id in sorted(set(found.listed) | promises.registered):
        fault = _fault_of(client, module_id, sealed.get(module_id), scratch)
        if fault:
            found.faulty[module_id] = fault
    for version in client.list_versions():
        found.version_digests[version.number] = net_digest(version)
        found.version_parents[version.number] = version.parent_digest
    shutil.rmtree(scratch, ignore_errors=True)
    return found


def add_offline(found: Evidence, settings: CentralSettings, seen: Seen) -> None:
    """Add what a stopped center's files say: fsck, and the audit log against all heads ever noted."""
    report = inspect_center(settings)
    for finding in report.findings:
        told = (finding.kind, finding.where, finding.detail)
        (found.damage if finding.is_damage else found.warnings).append(told)
    registry = open_known_registry(settings)
    try:
        with registry.read() as books:
            found.told_registered, found.told_published = _told(books.audit.entries())
            known = [
                KnownHead(digest, position, "the observer")
                for digest, position in sorted(seen.heads, key=lambda head: head[1] or 0)
            ]
            try:
                books.audit.verify(known)
            except AuditChainBroken as error:
                found.audit_fault = str(error)
    finally:
        registry.close()


def failures_of(center: ChaosCenter, more: Sequence[str]) -> list[str]:
    """Return what went wrong in the server by its own doing, each kind of message once."""
    return sorted({*center.incidents(), *center.unplanned_ends, *more})


def _told(entries: Iterable[AuditEntry]) -> tuple[Counter[str], Counter[str]]:
    registered, published = Counter[str](), Counter[str]()
    for entry in entries:
        action, subject = entry.action, entry.subject
        if action == Action.MODULE_REGISTERED:
            registered[subject] += 1
        elif action == Action.VERSION_PUBLISHED:
            published.update(json.loads(entry.detail).get("merges", ()))
    return registered, published


def _fault_of(client: CentralClient, module_id: str, sealed: Path | None, scratch: Path) -> str:
    """Fetch a module and return what is wrong with it, or ""."""
    if sealed is None:
        return "no site has sealed such a module"
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        path = client.download(module_id, scratch)
    except TransplantError as error:
        return f"it cannot be fetched: {error.code()}: {error}"
    same = sha256_file(path) == sha256_file(sealed)
    manifests = read_manifest(path.with_suffix(".json")), read_manifest(sealed.with_suffix(".json"))
    path.unlink()
    if not same:
        return "its bytes are not those that its site sealed"
    return "" if manifests[0] == manifests[1] else "its manifest is not the one that its site sealed"
