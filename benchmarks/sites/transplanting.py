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
    bytes_of,
    candidates_of,
    offers_of,
    scores_of_part,
)
from benchmarks.sites.transplanting_parcels import Parcels
from benchmarks.sites.transplanting_refinement import refined
from benchmarks.sites.transplanting_site import train_teachers
from benchmarks.sites.transplanting_validation import Gate, best_by_gate, calibrated, gates_of
from transplant.errors import BenchmarkFailed, InvalidSettings
from transplant.nets.learner_config import FEWEST_PUBLIC_IMAGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.sites.contender import Progress, Training
    from benchmarks.sites.engine import Engine, Setting, SiteReply
    from benchmarks.sites.federation import Federation

DUPLICATES = ("best", "average")


@dataclass(frozen=True)
class Transplant(Grown):
    """Implements `GrowingContender`.

    Args:
        duplicates: where several sites offer a category, lead the most promising into the net and take the
            "best" by what their sites held out, or lead all into it and "average" their logits.
        drawings: which share of the center's synthetic images are drawings.
        refine: whether the adapters are then refined at the sites that have a teacher of the category; of
            an average, each at the site of its own.
        labels: how many of its labels a site spends on that; 0: it learns from its teacher's answers alone.
        public: whether the center learns adapters on the federation's unlabelled public pictures, too.

    Raises:
        InvalidSettings: for another word.
    """

    duplicates: str = "best"
    drawings: float = 0.2
    refine: bool = False
    labels: int = 0
    public: bool = False

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
            BenchmarkFailed: if no site taught anything, or public pictures are wanted and there are too few.
        """
        pictures = federation.unlabelled if self.public else None
        if self.public and (pictures is None or len(pictures) < FEWEST_PUBLIC_IMAGES):
            raise BenchmarkFailed(
                f"transplant-proxy learns on {FEWEST_PUBLIC_IMAGES} or more unlabelled public pictures: give "
                "the federation some (--public), or leave it out of --methods"
            )
        clock = CenterClock()
        with clock:
            center = Center(training, federation.image_px, self.drawings, federation.seed, pictures)
        routes: list[CalibratedRoute] = []
        agreements: dict[str, float] = {}
        gates: dict[str, Gate] = {}
        parcels = Parcels()
        for part, offers in joining_offers(federation, stages, training, engine):
            parcels.made(offers)
            contending: list[CalibratedRoute] = []
            for offer in candidates_of(offers) if self.duplicates == "best" else offers:
                with clock:
                    route, figures = center.add(offer)
                contending.append(route)
                agreements |= {offer.key: figures["agreement"]} if figures else {}
                progress(_said(federation, offer, figures))
            nets = {route.offer.key: route.net for route in contending}
            rivals = self._rivals(contending, [route.offer for route in contending])
            validators = {key: [offer.site for offer in each] for key, each in rivals.items()}
            gates |= gates_of(nets, validators, parcels, training, engine, federation.seed)
            contending = [calibrated(route, gates.get(route.offer.key)) for route in contending]
            added = best_by_gate(contending, gates) if self.duplicates == "best" else contending
            if self.refine:
                told = refined(
                    {route.offer.key: route for route in added},
                    self._rivals(added, offers),
                    parcels,
                    training,
                    engine,
                    self.labels,
                    federation.seed,
                    progress,
                )
                added = list(told.values())
            routes += added
            yield Outcome(
                scores=scores_of_part(routes, federation.test, len(part.categories)),
                center_seconds=clock.seconds,
                net_bytes=bytes_of(routes),
                figures=_figures(routes, agreements, gates),
            )

    def _rivals(self, routes: Sequence[CalibratedRoute], offers: Sequence[Offer]) -> dict[str, list[Offer]]:
        """Return of each route the offers whose sites have to do with it.

        Those of its category, among which one is the best; or its own, where all have routes of their own.
        """
        if self.duplicates == "best":
            return {
                route.offer.key: [offer for offer in offers if offer.category == route.offer.category]
                for route in routes
            }
        return {route.offer.key: [route.offer] for route in routes}


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


def _figures(
    routes: Sequence[CalibratedRoute], agreements: Mapping[str, float], gates: Mapping[str, Gate]
) -> dict[str, float]:
    keys = [route.offer.key for route in routes]
    figures = {"taught": float(len({route.offer.category for route in routes})), "routes": float(len(keys))}
    for name, told in (
        ("agreement", [agreements[key] for key in keys if key in agreements]),
        ("gate_error", [gates[key].error for key in keys if key in gates]),
    ):
        if told:
            figures[name] = sum(told) / len(told)
    return figures
