"""A full disk under the server: a small one that is filled up, or a file-size limit where none is mounted."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from transplant.errors import BenchmarkFailed

if TYPE_CHECKING:
    from pathlib import Path

_BALLAST = "ballast"
_LEFT_BYTES = 192 << 10
_LEAST_FILE_BYTES = 64 << 10


class Disk(Protocol):
    """What the server's home lies on."""

    name: str

    def fill(self, amount: float, server_pid: int) -> None:
        """Leave next to no room; `amount` from 0 to 1 says how much of the little that can be left."""
        ...

    def release(self, server_pid: int) -> None:
        """Make room again."""
        ...

    def close(self) -> None:
        """Give the disk back."""
        ...


class SmallDisk:
    """A tmpfs at the home; to be full is then to be full for every writer: uploads, store, database and log.

    Args:
        home: an empty folder.
        size_mib: of the disk.

    Raises:
        BenchmarkFailed: if this machine does not let us mount.
    """

    name = "tmpfs"

    def __init__(self, home: Path, size_mib: int) -> None:
        self._home = home
        home.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=0700", "chaos", str(home)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise BenchmarkFailed(f"no small disk can be mounted: {done.stderr.strip()}")

    def fill(self, amount: float, server_pid: int) -> None:
        """Write ballast until next to nothing is left."""
        del server_pid
        wanted = shutil.disk_usage(self._home).free - int(amount * _LEFT_BYTES)
        with (self._home / _BALLAST).open("ab") as file, suppress(OSError):  # others write meanwhile
            if wanted > 0:
                os.posix_fallocate(file.fileno(), 0, wanted)

    def release(self, server_pid: int) -> None:
        """Remove the ballast."""
        del server_pid
        (self._home / _BALLAST).unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount; what was on it is gone."""
        subprocess.run(["umount", "-l", str(self._home)], capture_output=True, check=False)


class FileLimit:
    """No file of the server's may grow beyond a limit: any write behind it fails, as on a full disk."""

    name = "file-size limit"

    def fill(self, amount: float, server_pid: int) -> None:
        """Set the limit."""
        limit = _LEAST_FILE_BYTES + int(amount * (1 << 20))
        self._limit(server_pid, limit)

    def release(self, server_pid: int) -> None:
        """Lift it."""
        self._limit(server_pid, resource.RLIM_INFINITY)

    def close(self) -> None:
        """Do nothing: the limit goes with its process."""

    def _limit(self, pid: int, soft: int) -> None:
        with suppress(ProcessLookupError):
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft if hard == -1 else min(soft, hard), hard))


def disk_for(home: Path, size_mib: int) -> Disk:
    """Return a small disk where one can be mounted and is wanted (`size_mib` > 0), else a limit on files."""
    if size_mib > 0 and os.geteuid() == 0:
        with suppress(BenchmarkFailed):
            return SmallDisk(home, size_mib)
    return FileLimit()
