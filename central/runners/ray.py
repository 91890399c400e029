"""The engine on Ray: `RAY_ADDRESS`, or a local Ray that it starts.

Ray's driver runs in a child process (`central.runners.ray_driver`). When a raylet or its control
store dies, Ray ends the driver's process; that must not be the process that serves the sites. Orders
and endings are JSON lines over pipes, results are files on the workbench. At `RAY_ADDRESS` merges that are
being learned outlive a center that is killed, and the next one takes them over (`central.runners.foreman`).
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from central.runners.engine import AHEAD, Died, Ending, Finished, Hindered, Lost
from central.runners.ray_session import STOP, session_environment
from transplant.errors import MergeEngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from central.merge.orders import WorkOrder

log = logging.getLogger(__name__)

_RETRY_S = 5.0
_PATIENCE_S = 15.0
_PROTOCOL = 2
"""Of orders and endings; a center of a release that speaks another one does not find this one's foreman."""
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


class RayEngine:
    """Implements `central.runners.engine.Engine`.

    Args:
        workers: how many merges may be learned at a time; also the CPUs of a Ray started here.
        name: of this center on the cluster; by it a center finds what it left running.
        command: the driver's command line, for tests.
    """

    def __init__(self, workers: int, name: str = "center", command: tuple[str, ...] | None = None) -> None:
        self._workers = workers
        module = (sys.executable, "-m", "central.runners.ray_driver")
        self._command = command or (*module, str(workers), f"foreman-{_PROTOCOL}-{name}")
        self._driver: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._messages: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._wake: Callable[[], None] = lambda: None
        self._ready = False
        self._running: set[str] = set()
        self._endings: list[Ending] = []
        self._reason = "Ray is starting"
        self._not_before_s = 0.0

    @property
    def capacity(self) -> int:
        """How many orders are taken at a time."""
        return AHEAD * self._workers

    def tell(self, wake: Callable[[], None]) -> None:
        """Have `wake` called whenever the driver said something."""
        self._wake = wake

    def ensure_ready(self) -> None:
        """Start the driver if there is none; it takes seconds, so this does not wait for it.

        Raises:
            MergeEngineUnavailable: until Ray has said that it is there.
        """
        self._listen()
        if self._driver is None:
            if time.monotonic() < self._not_before_s:
                raise MergeEngineUnavailable(self._reason)
            self._start()
        if not self._ready:
            raise MergeEngineUnavailable(self._reason)

    def submit(self, order: WorkOrder) -> None:
        """Hand an order to Ray.

        Raises:
            MergeEngineUnavailable: if the driver is not there any more.
        """
        if order.merge_key in self._running:
            return
        self.ensure_ready()
        driver = self._driver
        if driver is None or driver.stdin is None:
            raise MergeEngineUnavailable(self._reason)
        try:
            driver.stdin.write(order.to_json() + "\n")
            driver.stdin.flush()
        except OSError as error:
            raise MergeEngineUnavailable(f"Ray's driver went away: {error}") from error
        self._running.add(order.merge_key)

    def running(self) -> frozenset[str]:
        """Return the merges that were submitted and not collected."""
        return frozenset(self._running)

    def collect(self) -> tuple[Ending, ...]:
        """Return what has ended; if Ray went away, everything has."""
        self._listen()
        endings, self._endings = tuple(self._endings), []
        return endings

    def close(self) -> None:
        """Let the driver shut its Ray down, and wait for that a little."""
        driver, self._driver, self._ready = self._driver, None, False
        if driver is None:
            return
        if driver.stdin is not None:
            try:
                driver.stdin.write(STOP + "\n")
                driver.stdin.close()
            except OSError:
                log.debug("Ray's driver was gone already")
        try:
            driver.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            driver.kill()
            driver.wait()
        self._forget_reader(driver)

    def _start(self) -> None:
        path = os.pathsep.join([str(_PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._driver = subprocess.Popen(  # noqa: S603 - our own module, no shell
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **session_environment(), "PYTHONUNBUFFERED": "1", "PYTHONPATH": path},
            start_new_session=True,  # a Ctrl-C at the terminal is for the center, which then closes us
        )
        self._reason = "Ray is starting"
        self._reader = threading.Thread(
            target=_read, args=(self._driver, self._hear), name="ray-driver", daemon=True
        )
        self._reader.start()

    def _hear(self, message: dict[str, Any]) -> None:
        """Keep what the driver said for the loop, and wake it."""
        self._messages.put(message)
        self._wake()

    def _listen(self) -> None:
        while True:
            try:
                message = self._messages.get_nowait()
            except Empty:
                return
            self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        match message:
            case {"ready": resources, "running": list(keys)}:
                self._ready = True
                self._running |= set(keys)
                log.info("Ray is ready: %s, %d merges are there already", resources, len(keys))
            case {"unavailable": reason}:
                self._reason = f"Ray is not available: {reason}"
            case {"finished": str(key)}:
                self._end(Finished(key))
            case {"died": str(key), "reason": reason}:
                self._end(Died(key, str(reason)))
            case {"hindered": str(key), "reason": reason}:
                self._end(Hindered(key, str(reason)))
            case {"lost": str(key), "reason": reason}:
                self._end(Lost(key, str(reason)))
            case {"gone": code}:
                self._driver_gone(int(code))
            case _:
                log.warning("Ray's driver said something unknown: %s", message)

    def _end(self, ending: Ending) -> None:
        if ending.merge_key in self._running:
            self._running.discard(ending.merge_key)
            self._endings.append(ending)

    def _driver_gone(self, code: int) -> None:
        if self._ready:
            self._reason = f"Ray went away (its driver ended with code {code})"
        elif self._reason == "Ray is starting":
            self._reason = f"Ray did not start (its driver ended with code {code})"
        log.warning("%s; trying again in %g s", self._reason, _RETRY_S)
        driver, self._driver, self._ready = self._driver, None, False
        if driver is not None:
            self._forget_reader(driver)
        self._not_before_s = time.monotonic() + _RETRY_S
        for key in sorted(self._running):
            self._end(Lost(key, self._reason))

    def _forget_reader(self, driver: subprocess.Popen[str]) -> None:
        if self._reader is not None:
            self._reader.join(_PATIENCE_S)
        for pipe in (driver.stdin, driver.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # the order that could not be delivered any more
                    log.debug("the driver's pipe was broken already")


def _read(driver: subprocess.Popen[str], hear: Callable[[dict[str, Any]], None]) -> None:
    """Pass the driver's lines on; runs in a thread of its own."""
    if driver.stdout is not None:
        for line in driver.stdout:
            try:
                hear(json.loads(line))
            except ValueError:
                log.warning("Ray's driver wrote: %s", line.rstrip())
    hear({"gone": driver.wait()})
