"""Which merges met with trouble, and when each may be tried again."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from transplant.errors import TransplantError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from transplant.ports.clock import Clock

log = logging.getLogger(__name__)

RETRY_S = 5.0


class Retries:
    """Keeps merges apart: the trouble of one must not hold up the others.

    Args:
        clock: tells how long something is over.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._not_before_s: dict[str, float] = {}

    def may(self, merge_key: str) -> bool:
        """Tell whether a merge may be tried now."""
        now_s = self._clock.monotonic_s()
        return now_s >= self._not_before_s.get(merge_key, now_s)

    def later(self, merge_keys: Iterable[str]) -> None:
        """Let merges wait for a while."""
        self._not_before_s |= dict.fromkeys(merge_keys, self._clock.monotonic_s() + RETRY_S)

    def forget(self, merge_key: str) -> None:
        """Let a merge wait no more: what it met with is over, or it has ended."""
        self._not_before_s.pop(merge_key, None)

    def waits_s(self) -> list[float]:
        """Return how long each waits still; 0 or less: not any more."""
        now_s = self._clock.monotonic_s()
        return [at_s - now_s for at_s in self._not_before_s.values()]

    @contextmanager
    def guarding(self, merge_key: str) -> Generator[bool]:
        """Yield whether something may be done for a merge; an error in the block is logged, and it waits."""
        if not self.may(merge_key):
            yield False
            return
        try:
            yield True
            self.forget(merge_key)
        except TransplantError as error:
            self.later([merge_key])
            log.warning("merge %s: %s: %s", merge_key[:12], error.code(), error)
        except Exception:
            self.later([merge_key])
            log.exception("merge %s cannot go on", merge_key[:12])
