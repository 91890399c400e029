"""The examiner's process: what a module can do to it, and that the server lives on."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from fakes.artifacts import sealed
from fakes.real_center import shared_examiner
from fakes.waiting import wait

from central.admission.examiner import ProcessExaminer
from central.admission.orders import ExamineOrder, Finding
from transplant.artifact.codec import write_artifact
from transplant.errors import AdmissionPending
from transplant.types import Architecture

# Stands for the worker: it says that it is ready, and then does with each order what the order names.
STAND_IN = """
import json, os, resource, signal, sys, time
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    deed = json.loads(line)["manifest"]
    if deed == "spin":
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (int(used) + 1, -1))
        while True:
            pass
    if deed == "sleep":
        time.sleep(3600)
    if deed == "exit":
        sys.exit(3)
    if deed == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "die once" and not os.path.exists(json.loads(line)["payload"]):
        open(json.loads(line)["payload"], "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    figures = {"pid": float(os.getpid())}
    told = {"error": "", "reason": deed, "figures": figures, "fingerprint": [], "seconds": 0.0}
    print(json.dumps(told), flush=True)
"""


def order(deed: str, payload: object = "-", cpu_s: float = 60.0) -> ExamineOrder:
    return ExamineOrder(deed, str(payload), cpu_s, 1 << 30)


@pytest.fixture
def examiner():
    made = ProcessExaminer((sys.executable, "-c", STAND_IN), wall_per_cpu=1.0)
    yield made
    made.close()


def test_one_process_is_kept(examiner):
    first, second = examiner.examine(order("fine")), examiner.examine(order("fine too"))
    assert (first.error, first.reason, second.reason) == ("", "fine", "fine too")
    assert first.figures == second.figures == {"pid": float(examiner.pid)}


@pytest.mark.parametrize(
    ("deed", "cpu_s", "error", "reason"),
    [
        ("spin", 60.0, "AdmissionTimedOut", "more than 60 s of processor time"),
        ("sleep", 0.2, "AdmissionTimedOut", "did not end; it was stopped twice"),
        ("exit", 60.0, "AdmissionCrashed", "with exit code 3, twice"),
        ("die", 60.0, "AdmissionCrashed", "by signal 9, twice"),
    ],
)
def test_a_module_that_is_the_end_of_a_process_is_rejected(examiner, deed, cpu_s, error, reason):
    finding = examiner.examine(order(deed, cpu_s=cpu_s))
    assert (finding.error, reason in finding.reason) == (error, True)
    assert examiner.examine(order("next")).reason == "next"


def test_one_killing_may_be_somebody_elses_doing(examiner, tmp_path):
    assert examiner.examine(order("die once", tmp_path / "mark")) == Finding(
        reason="die once", figures={"pid": float(examiner.pid)}
    )


def test_a_process_that_was_killed_while_idle_is_replaced(examiner):
    examiner.examine(order("fine"))
    killed = examiner.pid
    os.kill(killed, signal.SIGKILL)
    assert examiner.examine(order("next")).reason == "next"
    assert examiner.pid != killed


def test_who_does_not_start_judges_nothing():
    examiner = ProcessExaminer((sys.executable, "-c", "raise SystemExit(7)"))
    for _ in range(2):
        with pytest.raises(AdmissionPending, match="its process ended with 7"):
            examiner.examine(order("fine"))
    examiner.close()


def test_closing_is_no_verdict(examiner):
    raised = []

    def examine():
        try:
            examiner.examine(order("sleep", cpu_s=3600.0))
        except AdmissionPending as error:
            raised.append(str(error))

    examiner.examine(order("fine"))
    thread = threading.Thread(target=examine)
    thread.start()
    wait(lambda: examiner._turn.locked())
    examiner.close()
    thread.join(20)
    assert ["is stopping" in reason for reason in raised] == [True]
    assert examiner.pid is None


def test_the_process_is_told_no_secret(monkeypatch):
    monkeypatch.setenv("TRANSPLANT_CENTRAL_REGISTRY_URL", "postgresql://center:secret@db/registry")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    examiner = ProcessExaminer((sys.executable, "-c", STAND_IN))
    examiner.examine(order("fine"))
    environment = Path(f"/proc/{examiner.pid}/environ").read_bytes()
    examiner.close()
    assert b"secret" not in environment
    assert b"OMP_NUM_THREADS=1" in environment


# --- the worker itself ---------------------------------------------------------------------------

LARGE = Architecture("vgg16", (("image_px", (512,)),))


@pytest.fixture
def large(tmp_path):
    """A module of few bytes whose trial run takes seconds and hundreds of megabytes."""
    manifest, payload = sealed(architecture=LARGE)
    path = write_artifact(tmp_path, manifest, payload)
    return lambda **limits: ExamineOrder(manifest.canonical_bytes().decode(), str(path), **limits)


def test_the_worker_keeps_its_limits_and_goes_on(large, tmp_path, monkeypatch):
    worker = shared_examiner()
    monkeypatch.setattr(worker, "_wall_per_cpu", 1e4)  # however busy the machine is, it is the processor time
    memory = worker.examine(large(cpu_s=60.0, memory_bytes=48 << 20))
    assert (memory.error, memory.reason) == (
        "AdmissionCrashed",
        "the trial run needed more than 48 MiB of memory",
    )
    time = worker.examine(large(cpu_s=0.01, memory_bytes=2 << 30))
    assert (time.error, "processor time" in time.reason) == ("AdmissionTimedOut", True)
    manifest, payload = sealed()
    path = write_artifact(tmp_path, manifest, payload)
    fine = worker.examine(ExamineOrder(manifest.canonical_bytes().decode(), str(path), 60.0, 1 << 30))
    assert (fine.error, fine.reason) == ("", "")
    assert fine.figures["features.mean_norm"] > 0
