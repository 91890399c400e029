"""What routes answered to the probe when this process last asked them, by the ids of their modules.

A module's id is the digest of its manifest, which holds the digest of its bytes; frozen nets of equal bytes
give equal logits in one process. So what a route answered is known for as long as its modules' bytes are
verified anew, and asking all routes at every publication would make growth quadratic for nothing. Because a
memory that is never tried proves little, a few known routes are asked again each time, in turns, so that
all of them are asked again sooner or later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transplant.types import Route

_ASKED_AGAIN = 8
_MOST_CANDIDATES = 4096

_Place = tuple[str, str, str | None, str]


class KnownAnswers:
    """Of one process; digests of logits, a few hundred bytes a route."""

    def __init__(self) -> None:
        self._digests: dict[_Place, str] = {}
        self._candidates: dict[_Place, str] = {}
        self._turn = 0

    def known(self, routes: Sequence[Route], numerics: str) -> dict[str, str]:
        """Return merge key -> digest of the logits of those routes that were asked before."""
        places = {route.merge_key: _place(route, numerics) for route in routes}
        found = {key: self._digests.get(at, self._candidates.get(at)) for key, at in places.items()}
        return {key: digest for key, digest in found.items() if digest is not None}

    def to_ask_again(self, routes: Sequence[Route]) -> tuple[Route, ...]:
        """Return those whose turn it is, a few at each call."""
        count = min(_ASKED_AGAIN, len(routes))
        chosen = tuple(routes[(self._turn + index) % len(routes)] for index in range(count))
        self._turn += count
        return chosen

    def note(self, route: Route, digest: str, numerics: str) -> None:
        """Keep what a candidate answered when it was checked, for its publication."""
        self._candidates[_place(route, numerics)] = digest
        while len(self._candidates) > _MOST_CANDIDATES:
            self._candidates.pop(next(iter(self._candidates)))

    def remember(self, routes: Sequence[Route], digests: Mapping[str, str], numerics: str) -> None:
        """Keep the answers of a version's routes, and of no others but candidates.

        Args:
            routes: all of the version.
            digests: merge key -> digest of the logits.
            numerics: see `central.merge.forgetting.numerics`.
        """
        self._digests = {_place(route, numerics): digests[route.merge_key] for route in routes}
        for place in self._digests:
            self._candidates.pop(place, None)


def _place(route: Route, numerics: str) -> _Place:
    return numerics, route.category_module, route.adapter, route.task_module
