"""A center's folder: where things lie in it, its registry, and the lock of the one that serves it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from central.identity.files import IdentityFolder
from central.registry.registry import Registry
from central.registry.serving_lock import FileLock, is_locked
from transplant.artifact.durable_file import storage_errors
from transplant.backends.blob_stores import StorePlace
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from central.settings import CentralSettings

_LOCK = "serve.lock"
_ALIVE = "serve.alive"


def identity_folder(home: Path) -> IdentityFolder:
    """Return where a home keeps its certificates."""
    return IdentityFolder(home / "identity")


def registry_of(settings: CentralSettings) -> Registry:
    """Return the registry of a home, whatever is there; the folder is made where there is none."""
    with storage_errors(settings.home):
        try:
            settings.home.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise InvalidSettings(f"cannot use {settings.home} as home: {error.strerror}") from error
    return Registry(settings.url)


def open_registry(settings: CentralSettings) -> Registry:
    """Return the registry of a home; make it where there is none.

    Raises:
        InvalidSettings: if it is another release's.
    """
    registry = registry_of(settings)
    registry.create()
    return registry


def open_known_registry(settings: CentralSettings) -> Registry:
    """Return the registry of a center that exists.

    Raises:
        InvalidSettings: if nothing was provisioned there, or it is another release's.
    """
    registry = known_registry(settings)
    registry.check()
    return registry


def known_registry(settings: CentralSettings) -> Registry:
    """Return the registry of a center that exists; looking at a mistyped home or database must not make one.

    Raises:
        InvalidSettings: if nothing was provisioned there.
    """
    registry = Registry(settings.url)
    if not registry.exists():
        registry.close()
        where = registry.where if settings.registry_url else settings.home
        raise InvalidSettings(f"there is no center in {where}; `transplant-central provision ca` makes one")
    return registry


def store_place(settings: CentralSettings) -> StorePlace:
    """Return where a center's blobs are, as its workers are told, too."""
    url = settings.store_url or str(settings.home / "store")
    return StorePlace(url, str(settings.home / "store-cache"), settings.store_cache_bytes)


@contextmanager
def only_serve(home: Path) -> Generator[None]:
    """Hold the lock of a home: two merge loops on one registry would work against each other.

    Raises:
        AlreadyServing: if another `serve` holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / _LOCK, str(home))
    lock.take()
    try:
        yield
    finally:
        lock.release()


def is_serving(home: Path) -> bool:
    """Tell whether a `serve` holds the lock of a home."""
    return is_locked(home / _LOCK)


def note_alive(home: Path, at: datetime) -> None:
    """Note that a center serves this home at `at`; what is lost with a power cut is a look, no more.

    Raises:
        StorageFull: if the disk is full.
    """
    path = home / _ALIVE
    with storage_errors(path):
        path.touch()
        os.utime(path, (at.timestamp(), at.timestamp()))


def last_alive(home: Path) -> datetime | None:
    """Return when a center served this home last; None where that was never noted."""
    try:
        return datetime.fromtimestamp((home / _ALIVE).stat().st_mtime, UTC)
    except FileNotFoundError:
        return None
