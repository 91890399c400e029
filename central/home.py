"""A center's folder: where things lie in it, its registry, and the lock of the one that serves it."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from central.identity.files import IdentityFolder
from central.registry.registry import Registry
from transplant.artifact.durable_file import storage_errors
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from central.settings import CentralSettings


def identity_folder(home: Path) -> IdentityFolder:
    """Return where a home keeps its certificates."""
    return IdentityFolder(home / "identity")


def open_registry(settings: CentralSettings) -> Registry:
    """Return the registry of a home, at this release's schema."""
    with storage_errors(settings.home):
        try:
            settings.home.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise InvalidSettings(f"cannot use {settings.home} as home: {error.strerror}") from error
    registry = Registry(settings.url)
    registry.upgrade()
    return registry


def open_known_registry(settings: CentralSettings) -> Registry:
    """Return the registry of a center that exists; looking at a mistyped home must not make one.

    Raises:
        InvalidSettings: if nothing was provisioned there.
    """
    if not settings.registry_url and not (settings.home / "registry.sqlite").is_file():
        raise InvalidSettings(
            f"there is no center in {settings.home}; `transplant-central provision ca` makes one"
        )
    return open_registry(settings)


def store_root(home: Path) -> Path:
    """Return the folder of the blob store."""
    return home / "store"


@contextmanager
def only_serve(home: Path) -> Generator[None]:
    """Hold the lock of a home: two merge loops on one registry would work against each other.

    Raises:
        InvalidSettings: if another `serve` holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home / "serve.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidSettings(f"another `transplant-central serve` works on {home} already") from error
        yield
    finally:
        os.close(descriptor)


def is_serving(home: Path) -> bool:
    """Tell whether a `serve` holds the lock of a home."""
    try:
        descriptor = os.open(home / "serve.lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
