"""Jobs side by side on Ray: `RAY_ADDRESS`, or a local Ray that ends with the run.

The only file of the benchmarks that knows Ray.
"""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING, Any

from central.runners.ray_session import connect, session_environment
from transplant.errors import BenchmarkFailed

# Ray reads these when it is imported; what the user has set stays.
os.environ.update({**session_environment(), **os.environ})

import ray
from ray.exceptions import RayError, RayTaskError, WorkerCrashedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_OBJECT_STORE_BYTES = 100 << 20


class RayWorkers:
    """A Ray of so many workers, for as long as the `with` block lasts.

    Args:
        do: (line, threads) -> outcome, a function of a module; runs in a Ray worker.
        workers: jobs side by side.
        threads: computing threads of each job.
    """

    def __init__(self, do: Callable[[str, int], str], workers: int, threads: int) -> None:
        self._do = do
        self._workers = workers
        self._threads = threads

    def __enter__(self) -> RayWorkers:
        cpus = self._workers * self._threads
        try:
            connect(cpus, _OBJECT_STORE_BYTES, logging_level=logging.WARNING)
        except (RayError, OSError, RuntimeError, ValueError) as error:
            raise BenchmarkFailed(f"Ray did not start ({_last_line(error)}): try --workers 1") from error
        return self

    def __exit__(self, *_: object) -> None:
        ray.shutdown()

    def run(self, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Yield (place in `lines`, outcome) as jobs end.

        Raises:
            BenchmarkFailed: if Ray went away; what ended before was yielded.
        """
        task = ray.remote(num_cpus=self._threads, max_retries=0)(self._do)
        waiting = list(enumerate(lines))[::-1]
        flying: dict[Any, int] = {}
        try:
            while waiting or flying:
                while waiting and len(flying) < self._workers:
                    place, line = waiting.pop()
                    flying[task.remote(line, self._threads)] = place
                done, _ = ray.wait(list(flying))
                for reference in done:
                    yield flying.pop(reference), _outcome(reference)
        except (RayError, ConnectionError) as error:
            raise BenchmarkFailed(
                f"Ray went away ({_last_line(error)}): run the same command again, it goes on"
            ) from error


def _outcome(reference: Any) -> str:
    try:
        return ray.get(reference)
    except (WorkerCrashedError, RayTaskError) as error:
        return json.dumps({"fault": _last_line(error)})


def _last_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[-1] if text else ''}"
