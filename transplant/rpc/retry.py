"""The one retry policy: full jitter, only errors that say so, bounded by a deadline."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tenacity import (
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_delay,
    stop_any,
    stop_when_event_set,
    wait_random_exponential,
)

from transplant.errors import TransplantError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@dataclass(frozen=True)
class RetryPolicy:
    """How long and how eagerly a call is repeated.

    The pause before attempt n + 1 is drawn evenly from [0, min(longest_s, first_s 2^n)]: sites that
    lost the same center do not come back in step. `deadline_s` bounds the whole, from the first
    attempt on; the last error is raised then.
    """

    deadline_s: float = 60.0
    first_s: float = 0.1
    longest_s: float = 5.0

    def run(self, attempt: Callable[[], T], stopped: threading.Event | None = None) -> T:
        """Return what `attempt` returns, calling it again while it raises errors worth a retry.

        Args:
            attempt: the idempotent call.
            stopped: when set, pauses end and no new attempt is made.

        Raises:
            TransplantError: one that must not be retried, or the last one at the deadline.
        """
        event = stopped or threading.Event()
        retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, TransplantError) and error.retry),
            wait=wait_random_exponential(multiplier=self.first_s, max=self.longest_s),
            stop=stop_any(stop_after_delay(self.deadline_s), stop_when_event_set(event)),
            sleep=sleep_using_event(event),
            reraise=True,
        )
        return retrying(attempt)
