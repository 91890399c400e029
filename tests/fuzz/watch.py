"""What one execution may do: be refused with a plain sentence, in less than a second and 256 MiB."""

from __future__ import annotations

import resource
import sys
import time
from typing import TYPE_CHECKING, TypeVar

from fuzz.tally import Tally
from transplant.errors import ArtifactRejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CPU_S = 1.0
MEMORY_BYTES = 256 << 20
SENTENCE_CHARS = 1000
_UNIT = 1 if sys.platform == "darwin" else 1024

T = TypeVar("T")


class Finding(AssertionError):
    """An input broke a promise; the fuzzer keeps it."""


def tried(parse: Callable[[], T]) -> T | None:
    """Return what `parse` reads, or None where it refuses; every other exception is a finding.

    The refusal must be fit for a status, a log line and a screen: short, and without control characters.
    """
    try:
        return parse()
    except ArtifactRejected as error:
        sentence = str(error)
        if not 0 < len(sentence) <= SENTENCE_CHARS:
            raise Finding(f"a refusal of {len(sentence)} characters: {sentence[:200]!r}") from error
        if not sentence.isprintable():
            raise Finding(f"a refusal that cannot be shown: {sentence!r}") from error
        return None


class Watch:
    """Runs a target under the limits.

    Time is this thread's processor time and memory is the process's high-water mark: neither depends on
    what else the machine does.

    Args:
        target: reads foreign bytes.
        first: inputs that load whatever is loaded lazily; nobody watches these.
    """

    def __init__(self, target: Callable[[bytes], None], first: Iterable[bytes]) -> None:
        self._target = target
        for data in first:
            target(data)
        self._least = _peak_bytes()
        self.tally = Tally()
        self._runs, self._end = -1, _nothing

    def until(self, runs: int, end: Callable[[Tally], None]) -> None:
        """Have `end` told what came of it, with the last of `runs` executions or with a finding."""
        self._runs, self._end = runs, end

    def __call__(self, data: bytes) -> None:
        """Run one execution.

        Raises:
            Finding: if it takes too long, or the process has grown too much since the first inputs.
        """
        self.tally.executions += 1
        try:
            self._watched(data, self.tally)
        except BaseException:
            self._end(self.tally)
            raise
        if self.tally.executions == self._runs:
            self._end(self.tally)

    def _watched(self, data: bytes, tally: Tally) -> None:
        began = time.thread_time()
        try:
            self._target(data)
        except BaseException:
            tally.crashes += 1
            raise
        took = time.thread_time() - began
        tally.slowest_s = max(tally.slowest_s, took)
        if took > CPU_S:
            tally.hangs += 1
            raise Finding(f"{len(data)} bytes took {took:.2f} s")
        grown = tally.grown_bytes = _peak_bytes() - self._least
        if grown > MEMORY_BYTES:
            tally.growths += 1
            raise Finding(f"grew by {grown >> 20} MiB")


def _nothing(_tally: Tally) -> None:
    """Tell nobody: inputs are replayed."""


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
