"""Where a figure was measured: processor, cores, memory, libraries, commit."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parent.parent
_MEASURED_LIBRARIES = ("torch", "ray", "grpcio", "numpy")


@dataclass(frozen=True)
class Machine:
    """What a reader needs to compare a figure with one of theirs."""

    processor: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    libraries: tuple[tuple[str, str], ...]
    commit: str

    def sentence(self) -> str:
        """Return one line for a report."""
        libraries = ", ".join(f"{name} {number}" for name, number in self.libraries)
        return (
            f"{self.processor}, {self.cores} cores, {self.memory_bytes / 2**30:.0f} GiB, {self.system}; "
            f"Python {self.python}, {libraries}; commit {self.commit}"
        )


def this_machine() -> Machine:
    """Describe the machine that this process runs on."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        libraries=tuple((name, version(name)) for name in _MEASURED_LIBRARIES),
        commit=commit(),
    )


def fast_precision() -> str:
    """Return "bfloat16" where this processor computes in it, else "float32" (emulated it is slower)."""
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").is_file() else ""
    return "bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


def commit() -> str:
    """Return the short commit of the source tree, with `+` where it has uncommitted changes."""
    git = shutil.which("git")
    if git is None or not (_REPOSITORY / ".git").exists():
        return "unknown"
    head = _git(git, "rev-parse", "--short=12", "HEAD")
    if not head:
        return "unknown"
    return head + ("+" if _git(git, "status", "--porcelain", "--untracked-files=no") else "")


def _git(git: str, *arguments: str) -> str:
    done = subprocess.run([git, *arguments], cwd=_REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
