"""The server's side of the examiner: one process that is kept, and replaced where a module was its end."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import IO, TYPE_CHECKING, Protocol

from central.admission.orders import Finding
from transplant.errors import AdmissionCrashed, AdmissionPending, AdmissionTimedOut

if TYPE_CHECKING:
    from central.admission.orders import ExamineOrder

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "central.admission.worker")

_START_S = 180.0
_WALL_PER_CPU = 10.0
_ATTEMPTS = 2  # the first end may have been somebody else's doing: a full machine, an operator's kill
_CLOSE_S = 5.0
_TOLD = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "PYTHONWARNINGS")
_TOLD_BEGINNINGS = ("LC_", "TRANSPLANT_OPEN_")


class Examiner(Protocol):
    """Examines modules, one at a time."""

    def examine(self, order: ExamineOrder) -> Finding:
        """Return what there is to say about a module.

        Raises:
            AdmissionPending: if nothing can be examined now; the module had no part in it.
        """
        ...


@dataclass(frozen=True)
class _Ended:
    """How a worker came to its end: by a signal (negative) or an exit code; None: it was too slow."""

    code: int | None


class ProcessExaminer:
    """Implements `Examiner` in a process of its own, which has no credentials and no more than its limits.

    Args:
        command: what to start.
        wall_per_cpu: how many times its processor time an examination may last before it counts as stuck.
    """

    def __init__(self, command: tuple[str, ...] = COMMAND, wall_per_cpu: float = _WALL_PER_CPU) -> None:
        self._command = command
        self._wall_per_cpu = wall_per_cpu
        self._turn = threading.Lock()
        self._changing = threading.Lock()
        self._worker: _Worker | None = None
        self._closed = False

    def start(self) -> None:
        """Begin to start the process; it takes seconds, and nobody needs to wait for them."""
        self._current()

    @property
    def pid(self) -> int | None:
        """Process id of the worker that is there now."""
        worker = self._worker
        return None if worker is None else worker.pid

    def examine(self, order: ExamineOrder) -> Finding:
        """Return what there is to say about a module; see `Examiner`."""
        with self._turn:
            ended = _Ended(None)
            for _ in range(_ATTEMPTS):
                worker = self._ready()
                answer = worker.ask(order, self._wall_per_cpu * order.cpu_s)
                if isinstance(answer, Finding):
                    if answer.error == AdmissionCrashed.code():
                        self._replace(worker)  # whatever it did to the process is gone with it
                    return answer
                self._replace(worker)
                ended = answer
                log.warning("the examiner's process ended: %s", ended)
                if ended.code == -signal.SIGXCPU:
                    break
            return _finding_of(ended, order)

    def close(self) -> None:
        """End the process; what is under examination raises `AdmissionPending`."""
        with self._changing:
            self._closed = True
            if self._worker is not None:
                self._worker.end()
                self._worker = None

    def _ready(self) -> _Worker:
        worker = self._current()
        try:
            worker.wait_until_ready()
        except AdmissionPending as error:
            if not self._closed:
                log.error("%s", error)  # noqa: TRY400 - whoever reads the log wants the words, not our stack
            worker.end()
            with self._changing:
                if self._worker is worker:
                    self._worker = None
            raise
        return worker

    def _current(self) -> _Worker:
        with self._changing:
            if self._closed:
                raise AdmissionPending("the center is stopping; admission goes on when it is back")
            if self._worker is None:
                self._worker = _Worker(self._command)
            return self._worker

    def _replace(self, worker: _Worker) -> None:
        worker.end()
        with self._changing:
            if self._worker is worker:
                self._worker = None
        if not self._closed:
            self.start()


class _Worker:
    """One process and the thread that reads what it says."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,  # Ctrl-C at the server's terminal is the server's to handle
        )
        self._orders, self._findings = _pipe(self._process.stdin), _pipe(self._process.stdout)
        self._said: SimpleQueue[bytes | None] = SimpleQueue()
        self._ready = False
        self._reader = threading.Thread(target=self._read, name="examiner-reader", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Wait for the first word.

        Raises:
            AdmissionPending: if it does not come.
        """
        if self._ready:
            return
        try:
            line = self._said.get(timeout=_START_S)
        except Empty as error:
            raise AdmissionPending(f"the examiner does not start within {_START_S:g} s") from error
        if line is None:
            raise AdmissionPending(f"the examiner does not start: its process ended with {self._wait()}")
        self._ready = bool(json.loads(line)["ready"])

    def ask(self, order: ExamineOrder, wall_s: float) -> Finding | _Ended:
        """Hand an order over; return the finding, or how the process ended meanwhile."""
        try:
            self._orders.write(order.line())
            self._orders.flush()
        except (BrokenPipeError, ValueError):
            return _Ended(self._wait())
        try:
            line = self._said.get(timeout=wall_s)
        except Empty:
            return _Ended(None)
        return _Ended(self._wait()) if line is None else Finding.of(line)

    def end(self) -> None:
        """Kill it, if it is still there, and take leave of it."""
        self._process.kill()
        self._wait()
        self._reader.join(_CLOSE_S)
        self._findings.close()
        try:
            self._orders.close()
        except BrokenPipeError:
            log.debug("an order was not read to its end")

    def _wait(self) -> int:
        return self._process.wait()

    def _read(self) -> None:
        for line in self._findings:
            self._said.put(line)
        self._said.put(None)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise AdmissionPending("the examiner's process has no pipe to talk through")
    return pipe


def _finding_of(ended: _Ended, order: ExamineOrder) -> Finding:
    if ended.code is None:
        return Finding(AdmissionTimedOut.code(), "the trial run did not end; it was stopped twice")
    if ended.code == -signal.SIGXCPU:
        return Finding(
            AdmissionTimedOut.code(), f"the trial run took more than {order.cpu_s:g} s of processor time"
        )
    how = f"by signal {-ended.code}" if ended.code < 0 else f"with exit code {ended.code}"
    return Finding(AdmissionCrashed.code(), f"the trial run ended its process {how}, twice")


def _environment() -> dict[str, str]:
    """Return what the process may know: no password, no key, one computing thread."""
    told = {
        name: value
        for name, value in os.environ.items()
        if name in _TOLD or name.startswith(_TOLD_BEGINNINGS)
    }
    return told | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
