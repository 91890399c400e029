"""Flower's programs as children: found beside this Python, quiet towards the outside, never left behind.

A child is started through this very module, which asks the kernel to tell it to end when its parent dies,
however that happens, and then runs the program. One that was told to end, also by itself, and has not in time
is ended: Flower's programs clean up, and start threads, in their signal handlers, which can want a lock that
the very code holds that the signal interrupted (flwr 1.41). They watch their own parents in turn.
"""

from __future__ import annotations

import ctypes
import logging
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from transplant.backends.log_tail import last_line
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_LOG_BYTES = 8 << 20
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)


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
        command: the program, which is one of Python, and its arguments.
        log: what it says is appended here.
        environment: the whole of it.
        grace_s: it is ended when it was told to end and has not within this time, in seconds.
    """

    def __init__(
        self, command: Sequence[str], log: Path, environment: dict[str, str], *, grace_s: float = 10.0
    ) -> None:
        self.log = log
        self.command = tuple(command)
        self._command = (sys.executable, "-P", "-m", __name__, str(os.getpid()), str(grace_s), *command)
        self._grace_s = grace_s
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as file:
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=file,
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

    def stop(self) -> None:
        """Ask it to end, then insist."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(self._grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def shorten_log(self, most_bytes: int = _LOG_BYTES) -> None:
        """Move what a log longer than `most_bytes` says to `<log>.old`, and go on with an empty one.

        A child that waits for its peer says so three times a minute, for as long as it waits.
        """
        try:
            if self.log.stat().st_size > most_bytes:
                shutil.copyfile(self.log, self.log.with_name(f"{self.log.name}.old"))
                os.truncate(self.log, 0)  # the child appends, from now on to nothing
        except OSError as error:
            log.warning("%s grows on: %s", self.log, error)

    def last_words(self) -> str:
        """Return the last line of its log that says something."""
        return last_line(self.log)


def run_tied(parent: int, grace_s: float, command: Sequence[str]) -> None:
    """Run a program of Python in this process, which ends with its parent, and in time when it is told to."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)  # it was gone before
    _end_in_time(grace_s)
    sys.argv = list(command)
    runpy.run_path(command[0], run_name="__main__")


def _end_in_time(grace_s: float) -> None:
    """End this process for good when a signal that tells it to end came `grace_s` ago, whatever it does.

    The number of a signal is written to the pipe as it arrives, before any handler runs, and its own thread
    reads it there: nothing that a handler waits for can keep it.
    """
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)

    def watch() -> None:
        while (number := os.read(told, 1)[0]) not in _ENDING:
            pass
        time.sleep(grace_s)
        name = signal.Signals(number).name
        os.write(2, f"told to end by {name}, and still there {grace_s:g} s later: ended\n".encode())
        os._exit(1)

    threading.Thread(target=watch, name="end-in-time", daemon=True).start()


if __name__ == "__main__":
    run_tied(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
