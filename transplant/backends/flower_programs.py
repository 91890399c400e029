"""Flower's programs as children: found beside this Python, quiet towards the outside, never left behind.

A child is started through this very module, which asks the kernel to end it when its parent dies, however
that happens, and then becomes the program. Flower's programs watch their own parents in turn.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from transplant.backends.log_tail import last_line
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def program(name: str) -> Path:
    """Return one of Flower's programs.

    Raises:
        InvalidSettings: if it is not installed beside this Python.
    """
    path = Path(sys.executable).parent / name
    if not path.is_file():
        raise InvalidSettings(f"{path} is missing: Flower (flwr) must be installed beside this program")
    return path


def flower_environment(home: Path, programs: Path | None = None) -> dict[str, str]:
    """Return the environment of Flower's programs: no telemetry, no look for updates, one thread a sum.

    Args:
        home: where Flower keeps its own files.
        programs: the only folder in which programs are found by name; default: Flower's, then the usual.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return os.environ | {
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "OMP_NUM_THREADS": "1",
        "PATH": path if programs is None else str(programs),
    }


def listens(port: int) -> bool:
    """Tell whether somebody listens on a TCP port of this machine."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False


def free_port() -> int:
    """Return a TCP port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class TiedProcess:
    """A child with its log file.

    Args:
        command: the program and its arguments.
        log: what it says is appended here.
        environment: the whole of it.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: dict[str, str]) -> None:
        self.log = log
        self.command = tuple(command)
        self._command = (sys.executable, "-m", __name__, str(os.getpid()), *command)
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # Ctrl-C reaches the parent alone, which then stops it
            )

    @property
    def running(self) -> bool:
        """Tell whether it is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Return its process id, 0 where it was never started."""
        return 0 if self._process is None else self._process.pid

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ask it to end, then insist."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def last_words(self) -> str:
        """Return the last line of its log that says something."""
        return last_line(self.log)


def become(parent: int, command: Sequence[str]) -> None:
    """Turn this process into `command`, to end when its parent does."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)  # it was gone before
    os.execve(command[0], list(command), dict(os.environ))  # noqa: S606 - no shell in between is the point


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
