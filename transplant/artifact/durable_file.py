"""Files that survive a crash: either the old state or the new one, and one answer to a full disk."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from transplant.errors import StorageFull

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import BinaryIO

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def storage_errors(where: Path) -> Generator[None]:
    """Turn "no space left", "quota exceeded" and "file too large" into `StorageFull`.

    This is the only place that reads those error numbers: every writer of the project works inside it.

    Args:
        where: the file or folder that is being written, for the message.

    Raises:
        StorageFull: if the system has no room; any other `OSError` passes unchanged.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull(f"no room left to write {where}: {error.strerror}") from error
        raise


def sync_directory(directory: Path) -> None:
    """Make renames and new names in `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with storage_errors(directory):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, data: bytes) -> None:
    """Write `data` to `path` as `writing_durably` does.

    Raises:
        StorageFull: if the disk is full; `path` is then as it was before.
    """
    with writing_durably(path) as file:
        file.write(data)


@contextmanager
def writing_durably(path: Path) -> Generator[BinaryIO]:
    """Give a file to write in, which takes the place of `path` when the block is left without an exception.

    No reader and no crash ever sees half of it: temporary file in the same folder (hence the same volume),
    fsync, rename, fsync of the folder.

    Raises:
        StorageFull: if the disk is full; `path` is then as it was before.
    """
    with storage_errors(path):
        with synced_temporary(path.parent, prefix=".", suffix=".tmp") as (file, temporary):
            yield file
        try:
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


@contextmanager
def synced_temporary(folder: Path, *, prefix: str = "", suffix: str = "") -> Generator[tuple[BinaryIO, Path]]:
    """Give a new file in `folder` and its path; it is on the disk when the block is left, ready for a rename.

    An exception leaves no file behind.
    """
    descriptor, name = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=folder)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file, temporary
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_file(path: Path) -> None:
    """Flush a file that somebody else wrote to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with storage_errors(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
