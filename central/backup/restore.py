"""Restore a backup into a new home: verified before anything is touched, visible when it is complete."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from central.audit.noted_head import note_head
from central.backup.archives import reading_archive
from central.backup.manifest import BLOBS, IDENTITY, REGISTRY, SETTINGS
from central.fsck.inspect_center import inspect_center
from central.home import identity_folder, store_place
from central.identity.files import write_private
from central.registry.audit_book import CONSOLE, Action
from central.registry.registry import Registry
from central.registry.row_dump import restore_rows
from transplant.artifact.durable_file import storage_errors, sync_directory, write_durably
from transplant.errors import BackupInvalid, InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from central.backup.archives import Archive
    from central.fsck.inspect_center import Report
    from central.settings import CentralSettings

_PUBLIC = ".pem"


def restore_backup(source: Path, settings: CentralSettings) -> Report:
    """Make a home from a backup and return what a look at it finds.

    The home appears as a whole, by one rename. A database or a store outside of it is filled before that.

    Args:
        source: a folder or tar file of `take_backup`.
        settings: the new home, which must be empty, and the registry (an empty database) and store to fill,
            where these are not in the home.

    Raises:
        InvalidSettings: if home or database are not empty.
        BackupInvalid: if the backup is not complete or was changed; nothing was touched then.
        StorageFull: if there is no room.
    """
    home = settings.home
    with reading_archive(source) as archive:
        _check_empty(home)
        archive.verify()
        with storage_errors(home):
            home.parent.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=f".{home.name}.", suffix=".restoring", dir=home.parent))
        try:
            report = _fill(archive, settings.model_copy(update={"home": staging}))
            staging.replace(home)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    sync_directory(home.parent)
    return report


def _check_empty(home: Path) -> None:
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise InvalidSettings(
            f"{home} is not empty: restore into a new home, and look at it before you switch"
        )


def _fill(archive: Archive, settings: CentralSettings) -> Report:
    manifest, home = archive.manifest, settings.home
    store = store_place(settings).open()
    for sha256, file in manifest.named(BLOBS).items():
        if file.sha256 != sha256:
            raise BackupInvalid(f"the backup's payload {sha256} has another digest")
        copied = home / "restoring"
        archive.copy(sha256, copied)
        store.put_file(copied, sha256)
    tables = {
        name.removesuffix(".jsonl"): _lines(archive, file.sha256)
        for name, file in manifest.named(REGISTRY).items()
    }
    restore_rows(settings.url, manifest.revision, tables)
    if SETTINGS in manifest.files:
        archive.copy(manifest.files[SETTINGS].sha256, home / SETTINGS)
        _name_store(home, settings.store_url)
    _restore_identity(archive, home)
    registry = Registry(settings.url)
    try:
        with registry.write() as books:
            books.audit.append(CONSOLE, Action.BACKUP_RESTORED, manifest.taken_at, version=manifest.version)
        with registry.read() as books:
            note_head(home, books.audit.head())
    finally:
        registry.close()
    return inspect_center(settings)


def _name_store(home: Path, store_url: str) -> None:
    """Let the settings of the last `serve` name the store that was filled: commands go by them."""
    try:
        told: dict[str, object] = json.loads((home / SETTINGS).read_bytes())
    except ValueError:
        return  # it was damaged when the backup was taken: commands say so, the next `serve` writes it anew
    document = json.dumps(told | {"store_url": store_url}, indent=2, sort_keys=True) + "\n"
    write_durably(home / SETTINGS, document.encode())


def _restore_identity(archive: Archive, home: Path) -> None:
    files = archive.manifest.named(IDENTITY)
    if not files:
        return
    root = identity_folder(home).root
    root.mkdir(mode=0o700)
    for name, file in files.items():
        with archive.open(file.sha256) as source:
            write_private(root / name, source.read(), mode=0o644 if name.endswith(_PUBLIC) else 0o600)


def _lines(archive: Archive, sha256: str) -> Iterator[bytes]:
    with archive.open(sha256) as file:
        yield from file
