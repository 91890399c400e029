"""Who is there before a round, and who of them is asked: by name and seed, never by who is quick."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transplant.artifact.digest import derive_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from central.refine.federated_run import FederatedRun

LOOK_S, LONGEST_LOOK_S = 0.1, 1.0
"""The pause before another look at the grid, and what it grows to."""


@dataclass(frozen=True)
class Waiter:
    """Time, so that a test need not wait for it."""

    now_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def chosen_sites(there: Collection[str], run: FederatedRun, number: int) -> tuple[str, ...]:
    """Return the sites that a round asks: those of the first ones that are there.

    Which come first is a function of the names of all sites, the seed and the round.
    """
    order = sorted(set(run.nodes.values()))
    random.Random(derive_seed("sites", str(run.rounds.seed), str(number))).shuffle(order)
    present = [site for site in order if site in there]
    return tuple(sorted(present[: run.rounds.sites_a_round or len(present)]))


def sites_there(
    node_ids: Callable[[], Iterable[int]],
    run: FederatedRun,
    number: int,
    waiter: Waiter,
    shut: Callable[[], Collection[str]],
) -> dict[str, int]:
    """Return site -> node of those that are connected, once enough are or time is up.

    A quorum is enough; before the first round, when sites come one by one, it must hold the very sites that
    the seed names, or the choice were made by who comes first. Later who is gone is not waited for.

    Args:
        node_ids: returns the nodes that are connected.
        run: whom to wait for, and how long.
        number: of the round.
        waiter: the clock.
        shut: returns the nodes that may not take part any more.
    """
    until_s, look_s = waiter.now_s() + run.rounds.wait_s, LOOK_S
    while True:
        allowed = run.nodes.keys() - set(shut())
        online = sorted(str(node_id) for node_id in node_ids())
        there = {run.nodes[node_id]: int(node_id) for node_id in online if node_id in allowed}
        first = number == 1 and run.rounds.sites_a_round > 0
        named = chosen_sites([run.nodes[node_id] for node_id in allowed], run, 1) if first else ()
        enough = len(there) >= run.rounds.quorum and there.keys() >= set(named)
        if enough or waiter.now_s() >= until_s:
            return there
        waiter.sleep(look_s)
        look_s = min(2 * look_s, LONGEST_LOOK_S)
