"""Sites as function calls in this process: for tests, for debugging, and where one core is all there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.sites.run_works import Done, Told, as_sent, do_work, work_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.sites.federation import LocalData


class InProcess:
    """Implements `Carrier`: one site after the other.

    Args:
        sites: what each holds.
        threads: computing threads; only 1 is reproducible.
        told: called with (sites done, sites of the round).
    """

    def __init__(
        self,
        sites: Sequence[LocalData],
        threads: int = 1,
        told: Callable[[int, int], None] = lambda _done, _of: None,
    ) -> None:
        self._sites = tuple(sites)
        self._threads = threads
        self._told = told

    def carry(self, work: str, told: Mapping[int, Told]) -> dict[int, Done]:
        """Run work at each site of `told` in turn; each gets its own copy of what is sent."""
        function = work_of(work)
        done: dict[int, Done] = {}
        for site, each in told.items():
            sent = as_sent(each.tensors)
            done[site] = do_work(function, self._sites[site], sent, each.settings, self._threads)
            self._told(len(done), len(told))
        return done
