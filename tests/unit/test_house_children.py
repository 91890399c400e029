"""Supervision: a crash is followed by a restart, a hopeless error by a plain failure, an end by silence."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from benchmarks.journey.children import Child, RestartPolicy
from transplant.backends.log_tail import last_line
from transplant.errors import BenchmarkFailed, CenterUnreachable, DatasetNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

QUICK = RestartPolicy(restarts=2, backoff_s=0.01)


@pytest.fixture
def child_of(tmp_path: Path) -> Iterator[Callable[[str], Child]]:
    made: list[Child] = []

    def make(program: str) -> Child:
        argv = [sys.executable, "-S", "-c", program]
        made.append(
            Child("site", argv, tmp_path / "site.log", dict(os.environ, NOTE=str(tmp_path / "note")), QUICK)
        )
        made[-1].start()
        return made[-1]

    yield make
    for child in made:
        child.kill()


def _until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "the condition did not come true"
        time.sleep(0.01)


def _supervised(child: Child) -> list[str]:
    said: list[str] = []

    def look() -> bool:
        sentence = child.supervise()
        if sentence:
            said.append(sentence)
        return child.finished

    _until(look)
    return said


def test_a_crashed_process_is_started_again(child_of: Callable[[str], Child]):
    child = child_of(
        "import os, pathlib, sys\n"
        "note = pathlib.Path(os.environ['NOTE'])\n"
        "first = not note.exists()\n"
        "note.touch()\n"
        "os.kill(os.getpid(), 9) if first else print('recovered')"
    )
    said = _supervised(child)
    assert said == ["site ended (signal SIGKILL), restart 1 of 2", "site is back"]
    assert last_line(child.log) == "recovered"


def test_what_a_restart_cannot_mend_is_a_failure_with_the_last_line(child_of: Callable[[str], Child]):
    child = child_of(f"import sys; print('error: no such folder'); sys.exit({DatasetNotFound.exit_code})")
    with pytest.raises(BenchmarkFailed, match="no such folder"):
        _supervised(child)
    assert child.restarts == 0


def test_restarts_are_counted(child_of: Callable[[str], Child]):
    child = child_of(f"import sys; sys.exit({CenterUnreachable.exit_code})")
    with pytest.raises(BenchmarkFailed, match=f"exit code {CenterUnreachable.exit_code}"):
        _supervised(child)
    assert child.restarts == 2


def test_stop_insists(child_of: Callable[[str], Child]):
    child = child_of(
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    _until(lambda: last_line(child.log) == "deaf")
    child.stop(timeout_s=0.1)
    assert not child.running


def test_the_last_line_of_a_progress_bar_is_its_newest(tmp_path: Path):
    log = tmp_path / "log"
    log.write_bytes(b"epoch 1/3\repoch 2/3\r\n\n")
    assert last_line(log) == "epoch 2/3"
    assert last_line(tmp_path / "none") == ""
