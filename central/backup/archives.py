"""Where a backup is kept: a folder or a tar file of objects by their sha256, and the manifest.

A folder is renewed in place: what it holds already is not copied again, the new manifest replaces the old
one by a rename, and only then goes what no manifest names any more. So a crash at any point leaves the
earlier backup whole. A tar file appears when it is complete.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from central.backup.manifest import MANIFEST_NAME, manifest_document, parse_manifest
from transplant.artifact.digest import sha256_file
from transplant.artifact.durable_file import (
    storage_errors,
    sync_directory,
    sync_file,
    write_durably,
    writing_durably,
)
from transplant.errors import BackupInvalid, InvalidSettings, RegistryDamaged

if TYPE_CHECKING:
    from collections.abc import Generator

    from central.backup.manifest import BackupManifest

_BLOCK = 1 << 20
_OBJECTS = "objects"


class ArchiveWriter(Protocol):
    """Takes objects, and at the end the manifest that makes a backup of them."""

    def add(self, path: Path, sha256: str) -> None:
        """Copy a file, unless its content is there already.

        Raises:
            RegistryDamaged: if the file has another digest.
            StorageFull: if the disk is full.
        """
        ...

    def finish(self, manifest: BackupManifest) -> None:
        """Make the backup durable and visible."""
        ...


def is_tar(path: Path) -> bool:
    """Tell whether a path means a tar file: one that is there, or a new one that is called so."""
    return path.is_file() or (path.suffix == ".tar" and not path.is_dir())


@contextmanager
def writing_archive(out: Path) -> Generator[ArchiveWriter]:
    """Open `out` for a backup; what is not finished leaves no trace but objects in a folder.

    Raises:
        InvalidSettings: if `out` is a folder with other things in it, or cannot be made.
    """
    if is_tar(out):
        with storage_errors(out), _TarWriter.open(out) as writer:
            yield writer
        return
    with storage_errors(out):
        try:
            out.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidSettings(f"cannot make the folder {out}: {error.strerror}") from error
        strange = [entry.name for entry in out.iterdir() if entry.name not in (_OBJECTS, MANIFEST_NAME)]
        if strange:
            raise InvalidSettings(
                f"{out} holds other things than a backup ({strange[0]}): name another folder"
            )
        yield _FolderWriter(out)


class _FolderWriter:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._objects = root / _OBJECTS
        self._objects.mkdir(mode=0o700, exist_ok=True)

    def add(self, path: Path, sha256: str) -> None:
        target = _object(self._objects, sha256)
        if target.is_file() and sha256_file(target) == sha256:
            return
        target.parent.mkdir(mode=0o700, exist_ok=True)
        with path.open("rb") as source, writing_durably(target) as file:
            _copy_checked(source, file, sha256)

    def finish(self, manifest: BackupManifest) -> None:
        sync_directory(self._objects)
        write_durably(self._root / MANIFEST_NAME, manifest_document(manifest))
        named = manifest.digests()
        for entry in self._objects.glob("*/*"):
            if entry.name not in named:
                entry.unlink()


class _TarWriter:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._added: set[str] = set()

    @classmethod
    @contextmanager
    def open(cls, out: Path) -> Generator[_TarWriter]:
        try:
            descriptor, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=out.parent)  # mode 0600
        except OSError as error:
            raise InvalidSettings(f"cannot write to {out.parent}: {error.strerror}") from error
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w") as tar:
                yield cls(tar)
            sync_file(temporary)
            temporary.replace(out)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(out.parent)

    def add(self, path: Path, sha256: str) -> None:
        if sha256 in self._added:
            return
        with path.open("rb") as source:
            member = tarfile.TarInfo(f"{_OBJECTS}/{sha256[:2]}/{sha256}")
            member.size, member.mode = path.stat().st_size, 0o600
            checked = _CheckedReader(source)
            self._tar.addfile(member, checked)  # pyright: ignore[reportArgumentType]
        checked.compare(sha256, path)
        self._added.add(sha256)

    def finish(self, manifest: BackupManifest) -> None:
        document = manifest_document(manifest)
        member = tarfile.TarInfo(MANIFEST_NAME)
        member.size, member.mode = len(document), 0o600
        self._tar.addfile(member, io.BytesIO(document))


class Archive:
    """A backup that is read. Use `reading_archive`."""

    def __init__(self, manifest: BackupManifest, root: Path | None, tar: tarfile.TarFile | None) -> None:
        self.manifest = manifest
        self._root = root
        self._tar = tar

    @contextmanager
    def open(self, sha256: str) -> Generator[BinaryIO]:
        """Open an object.

        Raises:
            BackupInvalid: if it is missing.
        """
        try:
            if self._tar is not None:
                file = self._tar.extractfile(f"{_OBJECTS}/{sha256[:2]}/{sha256}")
            else:
                file = _object(Path(str(self._root)) / _OBJECTS, sha256).open("rb")
        except (KeyError, OSError) as error:
            raise BackupInvalid(f"the backup has lost its object {sha256}") from error
        if file is None:
            raise BackupInvalid(f"the backup's object {sha256} is no file")
        with file:
            yield file  # pyright: ignore[reportReturnType]

    def verify(self) -> None:
        """Read everything.

        Raises:
            BackupInvalid: if an object is missing, or has another digest or length.
        """
        for sha256, size_bytes in self.manifest.digests().items():
            with self.open(sha256) as file:
                checked = _CheckedReader(file)
                while checked.read(_BLOCK):
                    pass
            if checked.size_bytes != size_bytes or checked.hexdigest() != sha256:
                raise BackupInvalid(f"the backup's object {sha256} was changed: it has other bytes")

    def copy(self, sha256: str, target: Path) -> None:
        """Write an object to a new file, verified once more.

        Raises:
            BackupInvalid: if it has another digest.
        """
        with self.open(sha256) as source, storage_errors(target), target.open("xb") as file:
            try:
                _copy_checked(source, file, sha256)
            except RegistryDamaged as error:
                raise BackupInvalid(
                    f"the backup's object {sha256} was changed: it has other bytes"
                ) from error
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def reading_archive(source: Path) -> Generator[Archive]:
    """Open a backup.

    Raises:
        BackupInvalid: if there is none, or its manifest was changed.
    """
    try:
        if source.is_dir():
            yield Archive(parse_manifest((source / MANIFEST_NAME).read_bytes()), source, None)
            return
        with tarfile.open(source, "r:") as tar:
            member = tar.extractfile(MANIFEST_NAME)
            if member is None:
                raise BackupInvalid(f"{source} has no manifest")
            yield Archive(parse_manifest(member.read()), None, tar)
    except (FileNotFoundError, KeyError, tarfile.TarError) as error:
        raise BackupInvalid(f"there is no complete backup in {source}") from error


class _CheckedReader:
    """Passes a file on and remembers what it was."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._digest.update(block)
        self.size_bytes += len(block)
        return block

    def hexdigest(self) -> str:
        return self._digest.hexdigest()

    def compare(self, sha256: str, path: Path) -> None:
        if self.hexdigest() != sha256:
            raise RegistryDamaged(
                f"{path} has other bytes than its digest says: `transplant-central fsck` tells what to do; "
                "there is no new backup"
            )


def _copy_checked(source: BinaryIO, target: BinaryIO, sha256: str) -> None:
    checked = _CheckedReader(source)
    while block := checked.read(_BLOCK):
        target.write(block)
    checked.compare(sha256, Path(source.name))


def _object(objects: Path, sha256: str) -> Path:
    return objects / sha256[:2] / sha256
