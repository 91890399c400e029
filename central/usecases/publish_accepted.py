"""Publish what is accepted in one version; what stands in the way of some of it holds up no other.

A blob that the store has lost, or holds other bytes of, lets a publication fail. Is it an old route's,
nothing can be published before the operator has brought it back, for nobody knows that the net is what it
was. Is it a newcomer's own, the others are published without it: the newcomers are halved until it is found.
Whoever has to wait is told why, and stays accepted.
"""

from __future__ import annotations

import logging
from itertools import chain
from typing import TYPE_CHECKING

from central.merge.events import PublicationPostponed
from central.merge.forgetting import check_forgetting
from central.usecases.module_shelf import ModuleShelf
from central.usecases.move_merge import move_merge
from central.usecases.publish_version import publish_version
from transplant.errors import TransplantError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from central.usecases.center import Center

log = logging.getLogger(__name__)


def publish_accepted(center: Center, units: Sequence[Sequence[str]]) -> frozenset[str]:
    """Publish merges; return the keys of those that have to wait.

    Args:
        center: ports and policy.
        units: keys of accepted merges; those of one unit join the net together or not at all.
    """
    first = _failure(center, units)
    if first is None:
        return frozenset()
    if isinstance(first, TransplantError) and first.retry:
        return _postponed(center, units, first)  # it passes by itself: the registry or the store is away
    try:
        _check_net(center)
    except TransplantError as error:
        return _postponed(center, units, error)
    return _halved(center, units, first)


def _failure(center: Center, units: Sequence[Sequence[str]]) -> Exception | None:
    """Publish units together; return why that did not work, if it did not."""
    try:
        publish_version(center, tuple(chain.from_iterable(units)))
    except TransplantError as error:
        return error
    except Exception as error:
        log.exception("a publication of %d routes failed", sum(map(len, units)))
        return error
    return None


def _halved(center: Center, units: Sequence[Sequence[str]], error: Exception) -> frozenset[str]:
    """Publish by halves what failed as a whole, though the net is as it was."""
    if len(units) < 2:
        return _postponed(center, units, error)
    waiting: set[str] = set()
    middle = len(units) // 2
    for half in (units[:middle], units[middle:]):
        inner = _failure(center, half)
        if inner is not None:
            waiting |= _halved(center, half, inner)
    return frozenset(waiting)


def _check_net(center: Center) -> None:
    """Check that the newest version is what it was, by itself.

    Raises:
        ForgettingDetected: if a route answers otherwise than when it was published.
        RegistryDamaged: if a module cannot be read.
    """
    with center.registry.read() as books:
        newest = books.versions.newest()
        if newest is None:
            return
        shelf = ModuleShelf.of(center, books, newest.module_ids())
    proof = check_forgetting(newest, newest, shelf, center.known_answers)
    with center.registry.read() as books:
        proof.compare_with_record(books.versions.probe_digests(proof.numerics))


def _postponed(center: Center, units: Iterable[Sequence[str]], error: Exception) -> frozenset[str]:
    """Tell merges why they wait, once for each reason."""
    code = error.code() if isinstance(error, TransplantError) else type(error).__name__
    reason = f"accepted, and not published yet: {code}: {error}"
    keys = frozenset(chain.from_iterable(units))
    with center.registry.write() as books:
        before = {key: books.merges.get(key).status for key in keys}
        for key in sorted(keys):
            move_merge(center, books, key, PublicationPostponed(reason))
        news = any(books.merges.get(key).status != status for key, status in before.items())
    if news:
        log.warning("%d routes are %s", len(keys), reason)
        center.bell.ring()
    return keys
