"""Child processes under supervision: started, watched, restarted after a crash, stopped for certain."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transplant.backends.log_tail import last_line
from transplant.errors import ERRORS, BenchmarkFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

# What a restart cannot mend: the exit codes of the table's errors that say "do not retry", but for that of a
# bug of ours, which may well be a race.
_HOPELESS = {error.exit_code for error in ERRORS.values() if not error.retry} - {
    *(error.exit_code for error in ERRORS.values() if error.retry),
    ERRORS["UnexpectedFailure"].exit_code,
}


@dataclass(frozen=True)
class RestartPolicy:
    """How often a crashed process is started again, and how long to wait before."""

    restarts: int = 5
    backoff_s: float = 0.5

    def delay_s(self, restart: int) -> float:
        """Return the wait before restart number `restart` (1, 2, ...): it doubles."""
        return self.backoff_s * 2.0 ** (restart - 1)


class Child:
    """One process of the federation with its log file.

    Args:
        name: how it is called on the terminal.
        argv: the command.
        log: its stdout and stderr are appended here, over all restarts.
        environment: the whole environment.
        policy: what happens after a crash.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        policy: RestartPolicy | None = None,
    ) -> None:
        self.name = name
        self.argv = tuple(argv)
        self.log = log
        self.restarts = 0
        self._environment = dict(environment)
        self._policy = policy or RestartPolicy()
        self._process: subprocess.Popen[bytes] | None = None
        self._start_at_s: float | None = None

    def start(self) -> None:
        """Start the process; the kernel ends it should this one die without a word."""
        self._start_at_s = None
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which then stops them in order
                preexec_fn=_die_with_parent,  # one system call: nothing in it can wait for a lock
            )

    @property
    def pid(self) -> int:
        """Return the process id of the running (or last) process."""
        if self._process is None:
            raise BenchmarkFailed(f"{self.name} was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Tell whether the process is alive now."""
        return self._process is not None and self._process.poll() is None

    @property
    def finished(self) -> bool:
        """Tell whether it ended well."""
        return self._process is not None and self._process.poll() == 0

    def supervise(self) -> str | None:
        """Restart after a crash, when its time has come.

        Returns:
            A sentence for the terminal when something happened, else None.

        Raises:
            BenchmarkFailed: if it ended on an error that a restart cannot mend, or too often.
        """
        if self.running or self.finished or self._process is None:
            return None
        if self._start_at_s is None:
            code = self._process.returncode
            ended = _ending(code)
            if code in _HOPELESS or self.restarts >= self._policy.restarts:
                raise BenchmarkFailed(f"{self.name} ended ({ended}): {last_line(self.log)} [log: {self.log}]")
            self.restarts += 1
            self._start_at_s = time.monotonic() + self._policy.delay_s(self.restarts)
            return f"{self.name} ended ({ended}), restart {self.restarts} of {self._policy.restarts}"
        if time.monotonic() >= self._start_at_s:
            self.start()
            return f"{self.name} is back"
        return None

    def kill(self) -> None:
        """Kill -9, at once, and reap."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def stop(self, timeout_s: float = 15.0) -> None:
        """Ask it to end (SIGTERM), then insist."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
