"""A child that is told to end does end, whatever its signal handlers wait for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

from fakes.waiting import wait

from transplant.backends.flower_programs import TiedProcess

if TYPE_CHECKING:
    from pathlib import Path

_STUCK = """
    import os, signal, sys, threading
    signal.signal(signal.SIGUSR1, lambda *_: print("again", flush=True))
    lock = threading.Lock()
    signal.signal(signal.SIGINT, lambda *_: lock.acquire())
    signal.signal(signal.SIGTERM, lambda *_: lock.acquire())
    with lock:
        print("up", *sys.argv[1:], flush=True)
        if "itself" in sys.argv:
            os.kill(os.getpid(), signal.SIGINT)
        while True:
            signal.pause()
"""
"""Waits, as Flower 1.41 does at times, in its handler for a lock that the code it interrupted holds."""


def stuck_program(folder: Path) -> str:
    """Write a program that does not end by itself; returns its path."""
    script = folder / "stuck.py"
    script.write_text(textwrap.dedent(_STUCK))
    return str(script)


def stuck(folder: Path, *arguments: str) -> TiedProcess:
    """Return a child that does not end by itself, started and up."""
    log = folder / "child.log"
    child = TiedProcess([stuck_program(folder), *arguments], log, dict(os.environ), grace_s=0.2)
    child.start()
    wait(lambda: b"up" in log.read_bytes())
    return child


def test_a_child_that_told_itself_to_end_and_waits_in_its_handler_is_ended(tmp_path: Path):
    child = stuck(tmp_path, "itself")
    wait(lambda: not child.running)
    assert child.last_words() == "told to end by SIGINT, and still there 0.2 s later: ended"


def test_a_child_that_does_not_end_is_ended_when_it_is_stopped(tmp_path: Path):
    child = stuck(tmp_path)
    child.stop()
    assert not child.running


def test_a_child_runs_its_program_as_that_program_is_run(tmp_path: Path):
    child = stuck(tmp_path, "one", "--two")
    assert child.last_words() == "up one --two"
    assert child.running
    child.stop()


def test_a_child_that_does_not_end_is_ended_when_its_parent_was_killed(tmp_path: Path):
    log = tmp_path / "child.log"
    parent = f"""
        import os, signal
        from pathlib import Path
        from transplant.backends.flower_programs import TiedProcess
        child = TiedProcess([{stuck_program(tmp_path)!r}], Path({str(log)!r}), dict(os.environ), grace_s=0.2)
        child.start()
        signal.pause()
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(parent)]) as process:
        wait(lambda: log.is_file() and b"up" in log.read_bytes())
        process.kill()
    wait(lambda: b"told to end by SIGTERM, and still there" in log.read_bytes())


def test_a_log_that_has_grown_is_put_aside_and_the_child_goes_on_writing(tmp_path: Path):
    child = stuck(tmp_path, "one")
    child.shorten_log(most_bytes=7)
    assert child.log.read_text() == "up one\n"
    child.shorten_log(most_bytes=6)
    assert child.log.read_text() == ""
    assert (tmp_path / "child.log.old").read_text() == "up one\n"
    os.kill(child.pid, signal.SIGUSR1)
    assert wait(child.log.read_text) == "again\n"
    child.stop()
