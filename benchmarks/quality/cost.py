"""What a stretch of work costs this process: wall time, CPU time, and the largest resident memory."""

from __future__ import annotations

import resource
import time
from contextlib import suppress
from pathlib import Path

_RESET = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


class Meter:
    """Measures what happens inside its `with` block.

    The peak of memory is forgotten at the start where Linux allows it (writing 5 to `clear_refs`, proc(5));
    elsewhere it is that of the whole process so far.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_rss_bytes: int = 0

    def __enter__(self) -> Meter:
        with suppress(OSError):  # not Linux, or not allowed here: the peak then includes what was before
            _RESET.write_text("5", encoding="ascii")
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._wall_s
        self.cpu_seconds = time.process_time() - self._cpu_s
        self.peak_rss_bytes = _peak_rss_bytes()

    def add(self, other: Meter) -> None:
        """Count the work of another stretch in, which this process was spared."""
        self.seconds += other.seconds
        self.cpu_seconds += other.cpu_seconds
        self.peak_rss_bytes = max(self.peak_rss_bytes, other.peak_rss_bytes)

    def figures(self) -> dict[str, float | int]:
        """Return the fields of a record."""
        return {
            "seconds": round(self.seconds, 3),
            "cpu_seconds": round(self.cpu_seconds, 3),
            "peak_rss_bytes": self.peak_rss_bytes,
        }


def _peak_rss_bytes() -> int:
    if _STATUS.is_file():
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
