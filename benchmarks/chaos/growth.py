"""A net that grows while the center, workers and the whole of Ray are killed -9 at random moments.

The same merges are learned twice, on one machine: once undisturbed by the local runner, once on a Ray at
`RAY_ADDRESS` under fire. In the end every route must have been published exactly once, the net must hold the
same routes of the same modules (whose ids are digests of all their bytes), and fsck must find nothing. The
order of the routes, and how many versions they came in, is chance in any growth with two workers.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from benchmarks.chaos.growth_center import GrowthCenter, RayHead, kill
from benchmarks.speed.growth.growing import growing
from benchmarks.speed.growth.material import FOUNDER, make_home, places, request
from central.compose import compose_center
from central.fsck.inspect_center import inspect_center
from central.home import open_known_registry, open_registry
from transplant.artifact.digest import canonical_json, sha256_hex
from transplant.errors import BenchmarkFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.speed.growth.material import GrowthSize
    from central.settings import CentralSettings

_LATEST = 0.8  # of all routes: the last of them come in one version, and leave no moment for a kill
_LOOK_S = 0.25
_LONGEST_S = 3600.0


class Victim(StrEnum):
    """Who is killed."""

    CENTER = "center"
    WORKER = "worker"
    HEAD = "head"


@dataclass
class GrowthOutcome:
    """What came of it. `kills` counts only those that found somebody to kill."""

    merges: int
    kills: Counter[Victim] = field(default_factory=Counter[Victim])
    same: bool = False
    digest: str = ""
    faults: list[str] = field(default_factory=list[str])
    calm_s: float = 0.0
    seconds: float = 0.0
    center_starts: int = 0
    begun: int = 0


def run_growth_chaos(
    size: GrowthSize, kills: int, seed: int, workers: int, folder: Path, tell: Callable[[str], None]
) -> GrowthOutcome:
    """Grow the net in peace and under fire, and compare.

    Args:
        size: what grows.
        kills: how many, spread over the growth by routes that are published.
        seed: of victims and moments.
        workers: of Ray.
        folder: an empty one.
        tell: how far it is.
    """
    made, outcome = folder / "made" / "home", GrowthOutcome(size.merges)
    tell(f"making {size.categories + 1} teachers")
    make_home(size, made)
    calm = folder / "calm" / "home"
    shutil.copytree(made, calm)
    began_s = time.monotonic()
    settings = size.settings(calm, runner="local", workers=workers)
    with growing(size, settings) as center:
        request(center.center, (FOUNDER, *size.names()))
        center.wait_for(places(size, (FOUNDER, *size.names())))
    outcome.calm_s = time.monotonic() - began_s
    wanted = routes_of(settings)
    tell(f"undisturbed: {len(wanted)} routes in {outcome.calm_s:.0f} s")
    _under_fire(size, kills, random.Random(seed), workers, made, outcome, tell)
    hurt = size.settings(made)
    outcome.same, outcome.digest = routes_of(hurt) == wanted, digest_of(wanted)
    if not outcome.same:
        outcome.faults.append("the net differs from the undisturbed one")
    outcome.faults += _published_once(hurt, outcome)
    outcome.faults += [
        f"fsck: {each.kind} {each.where}" for each in inspect_center(hurt).findings if each.is_damage
    ]
    return outcome


def routes_of(settings: CentralSettings) -> frozenset[tuple[str, str, str, str | None, str]]:
    """Return category, task and the three module ids of every route of the newest version."""
    registry = open_known_registry(settings)
    with registry.read() as books:
        routes = books.versions.get().routes
    registry.close()
    return frozenset((r.category, r.task.value, r.category_module, r.adapter, r.task_module) for r in routes)


def digest_of(routes: frozenset[tuple[str, str, str, str | None, str]]) -> str:
    """Return one digest of a net, whatever the order in which its routes came."""
    return sha256_hex(canonical_json([list(route) for route in sorted(routes, key=str)]))


def _under_fire(
    size: GrowthSize,
    kills: int,
    draw: random.Random,
    workers: int,
    home: Path,
    outcome: GrowthOutcome,
    tell: Callable[[str], None],
) -> None:
    settings = size.settings(home)
    registry = open_registry(settings)
    request(compose_center(settings, registry), (FOUNDER, *size.names()))
    registry.close()
    ray = RayHead(home.parent, workers)
    center = GrowthCenter(home, size, ray.address, workers)
    total = (size.categories + 1) * len(size.tasks)
    moments = sorted(draw.uniform(0, _LATEST * total) for _ in range(kills))
    victims = _victims(kills, draw)
    began_s = time.monotonic()
    ray.start()
    center.start()
    try:
        while (there := center.published()) < total:
            center.tend()
            if time.monotonic() - began_s > _LONGEST_S:
                raise BenchmarkFailed(f"{there} of {total} routes are published after {_LONGEST_S:.0f} s")
            if moments and there >= moments[0]:
                time.sleep(draw.uniform(0, 1.5))  # anywhere within a merge, not just behind a publication
                victim = victims[-1]
                if _strike(victim, center, ray, draw):
                    moments.pop(0)
                    victims.pop()
                    outcome.kills[victim] += 1
                    tell(f"{there} of {total} routes: killed the {victim.value}")
            time.sleep(_LOOK_S)
        outcome.seconds = time.monotonic() - began_s
        tell(f"under fire: {total} routes in {outcome.seconds:.0f} s, {center.starts} starts of the center")
    finally:
        center.stop()
        ray.kill()
    outcome.center_starts = center.starts
    outcome.faults += center.unplanned_ends
    if moments:
        outcome.faults.append(f"{len(moments)} kills found no moment: let more grow")


def _victims(kills: int, draw: random.Random) -> list[Victim]:
    """Return who is killed: each kind of victim comes where there are enough kills."""
    chosen = [list(Victim)[number % len(Victim)] for number in range(kills)]
    draw.shuffle(chosen)
    return chosen


def _strike(victim: Victim, center: GrowthCenter, ray: RayHead, draw: random.Random) -> bool:
    """Kill, and start again what has to be; return whether there was anybody."""
    match victim:
        case Victim.CENTER:
            center.kill()
            center.start()
        case Victim.WORKER:
            workers = ray.workers()
            return bool(workers) and kill(draw.choice(workers))
        case Victim.HEAD:
            ray.kill()
            ray.start()
    return True


def _published_once(settings: CentralSettings, outcome: GrowthOutcome) -> list[str]:
    """Return what is wrong with how often merges were published; count how often they were begun."""
    registry = open_known_registry(settings)
    faults: list[str] = []
    with registry.read() as books:
        for merge in books.merges.list():
            events = Counter(step.event for step in books.merges.transitions(merge.task.key))
            outcome.begun += events["EngineReady"]
            if events["VersionPublished"] != 1:
                where = f"{merge.task.category}/{merge.task.task.value}"
                faults.append(f"{where} was published {events['VersionPublished']} times")
    registry.close()
    return faults
