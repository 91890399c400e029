"""The processor seconds that the center of a method works, stretch by stretch, without what sites work."""

from __future__ import annotations

import time


class CenterClock:
    """Runs inside its `with` blocks, one after the other; sites that share the process work outside them."""

    seconds: float = 0.0
    _began_s: float = 0.0

    def __enter__(self) -> CenterClock:
        self._began_s = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.process_time() - self._began_s
