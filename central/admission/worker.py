"""The examiner's process: orders come in on standard input, findings go out on standard output.

`python -m central.admission.worker`, started by `central.admission.examiner`. It needs no network and no
right to write; where its input ends, its server is gone and it leaves. Each order is examined under its own
limits: over the processor time the system ends the process, over the memory an allocation fails.
"""

from __future__ import annotations

import json
import logging
import math
import os
import resource
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import torch

from central.admission.examine import examine
from central.admission.orders import ExamineOrder, Finding
from central.admission.trial import warm_up
from transplant.backends.open_audit import install_open_audit
from transplant.errors import AdmissionCrashed

if TYPE_CHECKING:
    from collections.abc import Generator

log = logging.getLogger("examiner")

READY = {"ready": True}
_OUT_OF_MEMORY = ("memory", "bad_alloc", "mmap")


def main() -> None:
    """Examine until the input ends."""
    orders, findings = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no finding
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s examiner %(levelname)s %(message)s")
    install_open_audit()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    torch.set_num_threads(1)
    warm_up()
    try:
        _say(findings, json.dumps(READY).encode() + b"\n")
        for line in orders:
            _say(findings, _examined(ExamineOrder.of(line)).line())
    except BrokenPipeError:  # the server went away meanwhile: nobody is left to tell, nothing is lost
        os.dup2(os.open(os.devnull, os.O_WRONLY), findings.fileno())  # what is buffered still wants to go


def _examined(order: ExamineOrder) -> Finding:
    try:
        with _limits(order.cpu_s, order.memory_bytes):
            return examine(order)
    except (MemoryError, RuntimeError, OSError) as error:
        if any(sign in str(error) for sign in _OUT_OF_MEMORY) or isinstance(error, MemoryError):
            return Finding(
                AdmissionCrashed.code(),
                f"the trial run needed more than {order.memory_bytes >> 20} MiB of memory",
            )
        log.exception("an examination failed")
        return Finding(AdmissionCrashed.code(), f"the trial run failed: {type(error).__name__}")


@contextmanager
def _limits(cpu_s: float, memory_bytes: int) -> Generator[None]:
    """Bound what this process may take from now on; only the part that is its own data counts as memory."""
    kinds = (resource.RLIMIT_CPU, resource.RLIMIT_DATA)
    before = {kind: resource.getrlimit(kind) for kind in kinds}
    used = resource.getrusage(resource.RUSAGE_SELF)
    bounds = (math.ceil(used.ru_utime + used.ru_stime + cpu_s), _own_data_bytes() + memory_bytes)
    try:
        for kind, bound in zip(kinds, bounds, strict=True):
            hard = before[kind][1]
            soft = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
            resource.setrlimit(kind, (soft, hard))
        yield
    finally:
        for kind in kinds:
            resource.setrlimit(kind, before[kind])


def _own_data_bytes() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    return 0


def _say(findings: BinaryIO, line: bytes) -> None:
    findings.write(line)
    findings.flush()


if __name__ == "__main__":
    main()
