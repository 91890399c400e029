"""Take a backup: one state of the registry, every payload that it refers to, settings, identity if asked.

A center may serve meanwhile. The rows are those of one read transaction, on either database; a payload is
in the store before its row is, and stays for as long as a row needs it, so whatever the rows refer to can
be copied afterwards. Only an upload that waits for admission may be rejected and its payload go in between:
those are copied first, and where one is gone the rows are read anew.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from central.backup.archives import writing_archive
from central.backup.manifest import BLOBS, IDENTITY, REGISTRY, SETTINGS, BackupFile, BackupManifest
from central.home import identity_folder, known_registry, store_place
from central.registry.audit_book import CONSOLE, Action
from central.registry.inspection import check_release, rows_of
from central.registry.row_dump import dumped_tables
from transplant.artifact.digest import sha256_file
from transplant.artifact.durable_file import storage_errors
from transplant.backends.system_clock import SystemClock
from transplant.errors import CertificateInvalid, NotFound, RegistryDamaged, RegistryUnavailable

if TYPE_CHECKING:
    from central.backup.archives import ArchiveWriter
    from central.registry.registry import Books, Registry
    from central.settings import CentralSettings
    from transplant.ports.blob_store import BlobStore

log = logging.getLogger(__name__)

_ATTEMPTS = 10


def take_backup(settings: CentralSettings, out: Path, *, with_identity: bool = False) -> BackupManifest:
    """Write a backup to a folder, or a tar file where `out` is called so; return its manifest.

    Args:
        settings: of the center.
        out: a new folder or file, or an earlier backup, which stays whole until the new one is.
        with_identity: keep the certificates and private keys of CA and server, too.

    Raises:
        InvalidSettings: if there is no center, or `out` cannot be used.
        RegistryDamaged: if a payload is lost or has other bytes; there is then no new backup.
        StorageFull: if there is no room.
    """
    registry = known_registry(settings)
    try:
        with writing_archive(out) as archive:
            manifest = _take(settings, registry, archive, out, with_identity=with_identity)
            archive.finish(manifest)
        with registry.write() as books:
            books.audit.append(
                CONSOLE, Action.BACKUP_TAKEN, out.name, version=manifest.version, identity=with_identity
            )
    finally:
        registry.close()
    return manifest


def _take(
    settings: CentralSettings, registry: Registry, archive: ArchiveWriter, out: Path, *, with_identity: bool
) -> BackupManifest:
    store = store_place(settings).open()
    with storage_errors(out), tempfile.TemporaryDirectory(prefix=".", dir=out.absolute().parent) as folder:
        state = _consistent_state(registry, store, archive, Path(folder))
        files = dict(state.files)
        for sha256 in state.payloads:
            files[f"{BLOBS}{sha256}"] = _add_blob(store, archive, sha256)
        for name, file in state.files.items():
            archive.add(Path(folder) / name, file.sha256)
    kept = [(SETTINGS, settings.home / SETTINGS)]
    if with_identity:
        root = identity_folder(settings.home).root
        keys = [path for path in sorted(root.iterdir()) if path.is_file()] if root.is_dir() else []
        if not keys:
            raise CertificateInvalid(f"there is no identity in {root} to keep")
        kept += [(f"{IDENTITY}{path.name}", path) for path in keys if not path.name.startswith(".")]
    for name, path in kept:
        if path.is_file():
            sha256, size_bytes = sha256_file(path), path.stat().st_size
            archive.add(path, sha256)
            files[name] = BackupFile(sha256=sha256, size_bytes=size_bytes)
    return BackupManifest(
        format=1,
        taken_at=SystemClock().now().isoformat(timespec="seconds"),
        revision=state.revision,
        version=state.version,
        audit_position=state.audit_position,
        audit_digest=state.audit_digest,
        files=files,
    )


@dataclass(frozen=True)
class _State:
    """One state of the registry: its tables as files, and the payloads that it needs."""

    revision: str
    version: int
    audit_position: int
    audit_digest: str
    files: dict[str, BackupFile]
    payloads: tuple[str, ...]
    waiting: tuple[str, ...]


def _consistent_state(registry: Registry, store: BlobStore, archive: ArchiveWriter, folder: Path) -> _State:
    for _ in range(_ATTEMPTS):
        with registry.read() as books:
            state = _dump(books, folder)
        try:
            for sha256 in state.waiting:
                archive.add(store.path_of(sha256), sha256)
        except NotFound:
            log.info("admission decided about an upload meanwhile; reading the registry anew")
            continue
        return state
    raise RegistryUnavailable(
        "payloads of uploads that wait for admission go faster than they can be copied: try again, and run "
        "`transplant-central fsck` if it goes on"
    )


def _dump(books: Books, folder: Path) -> _State:
    revision = check_release(books)
    files: dict[str, BackupFile] = {}
    (folder / REGISTRY).mkdir(exist_ok=True)
    for table, lines in dumped_tables(books):
        path, rows = folder / f"{REGISTRY}{table}.jsonl", 0
        with path.open("wb") as file:
            for line in lines:
                file.write(line)
                rows += 1
        name = f"{REGISTRY}{table}.jsonl"
        files[name] = BackupFile(sha256=sha256_file(path), size_bytes=path.stat().st_size, rows=rows)
    known = [str(row["sha256"]) for row in rows_of(books, "blobs", "sha256")]
    uploads = rows_of(books, "uploads", "payload_sha256", "received_at")
    waiting = {str(row["payload_sha256"]) for row in uploads if row["received_at"] is not None} - set(known)
    head = books.audit.head()
    return _State(
        revision=revision,
        version=books.versions.newest_number(),
        audit_position=head.position,
        audit_digest=head.digest,
        files=files,
        payloads=(*known, *sorted(waiting)),
        waiting=tuple(sorted(waiting)),
    )


def _add_blob(store: BlobStore, archive: ArchiveWriter, sha256: str) -> BackupFile:
    try:
        path = store.path_of(sha256)
    except NotFound as error:
        raise RegistryDamaged(
            f"the store has lost the payload {sha256}: `transplant-central fsck` tells what to do; "
            "there is no new backup"
        ) from error
    archive.add(path, sha256)
    return BackupFile(sha256=sha256, size_bytes=path.stat().st_size)
