"""Transplanting as a contender: teachers travel once, the center grows a net from them without any label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.sites.contender import Grown, Outcome
from benchmarks.sites.patience import ask_until_all
from benchmarks.sites.peers.center_clock import CenterClock
from benchmarks.sites.scenarios import first_categories
from benchmarks.sites.transplanting_center import (
    CalibratedRoute,
    Center,
    Offer,
    best_of_each,
    bytes_of,
    offers_of,
    scores_of_part,
)
from benchmarks.sites.transplanting_refinement import refined
from benchmarks.sites.transplanting_site import train_teachers
from transplant.errors import BenchmarkFailed, InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.sites.contender import Progress, Training
    from benchmarks.sites.engine import Engine, Setting, SiteReply
    from benchmarks.sites.federation import Federation

DUPLICATES = ("best", "average")


@dataclass(frozen=True)
class Transplant(Grown):
    """Implements `GrowingContender`.

    Args:
        duplicates: where several sites offer a category, take the "best" by what they held out, or lead
            all into the net and "average" their logits.
        drawings: which share of the center's synthetic images are drawings.
        refine: whether the adapters are then refined at the sites of their teachers.
        labels: how many of its labels a site spends on that; 0: it learns from its teacher's answers alone.

    Raises:
        InvalidSettings: for another word.
    """

    duplicates: str = "best"
    drawings: float = 0.2
    refine: bool = False
    labels: int = 0

    def __post_init__(self) -> None:
        if self.duplicates not in DUPLICATES:
            raise InvalidSettings(f"--duplicates is {' or '.join(DUPLICATES)}; got {self.duplicates!r}")

    def grow(
        self,
        federation: Federation,
        stages: Sequence[int],
        training: Training,
        engine: Engine,
        progress: Progress,
    ) -> Iterator[Outcome]:
        """Yield the net of the first `stage` categories for each stage; what was there is never touched.

        Raises:
            BenchmarkFailed: if no site taught anything.
        """
        clock = CenterClock()
        with clock:
            center = Center(training, federation.image_px, self.drawings, federation.seed)
        routes: list[CalibratedRoute] = []
        agreements: list[float] = []
        for part, offers in joining_offers(federation, stages, training, engine):
            chosen = best_of_each(offers) if self.duplicates == "best" else offers
            added: list[CalibratedRoute] = []
            for offer in chosen:
                with clock:
                    route, figures = center.add(offer)
                added.append(route)
                if figures:
                    agreements.append(figures["agreement"])
                progress(_said(federation, offer, figures))
            if self.refine:
                added = refined(added, center, training, engine, self.labels, federation.seed, progress)
            routes += added
            yield Outcome(
                scores=scores_of_part(routes, federation.test, len(part.categories)),
                center_seconds=clock.seconds,
                net_bytes=bytes_of(routes),
                figures=_figures(routes, agreements),
            )


def joining_offers(
    federation: Federation, stages: Sequence[int], training: Training, engine: Engine
) -> Iterator[tuple[Federation, list[Offer]]]:
    """Yield, for each stage, its part of the federation and the teachers of the sites that are new in it.

    Raises:
        BenchmarkFailed: if at the first stage no site answered, or none taught anything.
    """
    answered: set[int] = set()
    for number, stage in enumerate(stages):
        there = [site for site, data in enumerate(federation.sites) if max(data.known) < stage]
        newcomers = [site for site in there if site not in answered]
        replies = _taught_teachers(federation, newcomers, training, engine)
        offers = offers_of(replies, training.arch, federation.image_px)
        if number == 0 and not offers:
            raise BenchmarkFailed(
                "no site holds enough pictures of any category to teach it: take more --images"
                if replies
                else "no site answered, so there is no teacher: let fewer sites drop out"
            )
        answered |= set(replies)
        yield first_categories(federation, stage), offers


def _taught_teachers(
    federation: Federation, sites: Sequence[int], training: Training, engine: Engine
) -> dict[int, SiteReply]:
    """Return the replies of all these sites but those that are away each time."""
    settings: dict[str, Setting] = {
        "arch": training.arch,
        "epochs": training.local_epochs,
        "batch_size": training.batch_size,
        "learning_rate": training.learning_rate,
        "precision": training.precision,
        "run_seed": federation.seed,
    }
    return ask_until_all(engine, train_teachers, sites, {}, settings)


def _said(federation: Federation, offer: Offer, figures: dict[str, float]) -> str:
    name = federation.categories[offer.category]
    if not figures:
        return f"site {offer.site} founds the net with {name}, error {offer.error:.1f} %"
    return (
        f"{name} of site {offer.site}, error {offer.error:.1f} %, leads into the net: agreement "
        f"{figures['agreement']:.1f} %"
    )


def _figures(routes: Sequence[CalibratedRoute], agreements: Sequence[float]) -> dict[str, float]:
    taught = {route.offer.category for route in routes}
    figures = {"taught": float(len(taught)), "routes": float(len(routes))}
    if agreements:
        figures["agreement"] = sum(agreements) / len(agreements)
    return figures
