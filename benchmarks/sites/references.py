"""What contenders are held against: all teachers at once, each site alone, all data in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from benchmarks.sites.contender import Grown, Outcome
from benchmarks.sites.engine import Traffic
from benchmarks.sites.federation import OTHER, Federation, LocalData
from benchmarks.sites.patience import ask_until_all
from benchmarks.sites.peers.answers import answers_of
from benchmarks.sites.peers.answers import scores_of as scores_of_logits
from benchmarks.sites.peers.center_clock import CenterClock
from benchmarks.sites.peers.local_training import LocalPlan, train_locally
from benchmarks.sites.peers.multi_category_net import NetShape, answers_to, net_bytes, weights_of
from benchmarks.sites.references_site import send_pictures
from benchmarks.sites.transplanting import joining_offers
from benchmarks.sites.transplanting_center import CalibratedRoute, bytes_of, scores_of_part, teacher_route
from transplant.errors import BenchmarkFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.sites.contender import Progress, Training
    from benchmarks.sites.engine import Engine


@dataclass(frozen=True)
class Ensemble(Grown):
    """Every teacher as it is, whole, at the center: what transplanting could reach at best.

    Implements `GrowingContender`.
    """

    def grow(
        self,
        federation: Federation,
        stages: Sequence[int],
        training: Training,
        engine: Engine,
        progress: Progress,
    ) -> Iterator[Outcome]:
        """Yield the ensemble of all teachers so far.

        Raises:
            BenchmarkFailed: if no site taught anything.
        """
        routes: list[CalibratedRoute] = []
        for part, offers in joining_offers(federation, stages, training, engine):
            routes += [teacher_route(offer) for offer in offers]
            taught = {route.offer.category for route in routes}
            progress(f"{len(routes)} teachers of {len(taught)} categories")
            errors = [route.offer.error for route in routes]
            yield Outcome(
                scores_of_part(routes, federation.test, len(part.categories)),
                0.0,
                bytes_of(routes),
                {"held_out_error": sum(errors) / len(errors)},
            )


@dataclass(frozen=True)
class Local(Grown):
    """Each site alone with its own teachers; measures are averaged over the sites.

    Nothing travels: the teachers leave their sites for the measurement only. Implements `GrowingContender`.
    """

    def grow(
        self,
        federation: Federation,
        stages: Sequence[int],
        training: Training,
        engine: Engine,
        progress: Progress,
    ) -> Iterator[Outcome]:
        """Yield the scores of each site alone; a category that it never learned is never its answer.

        Raises:
            BenchmarkFailed: if no site taught anything.
        """
        of_site: dict[int, list[CalibratedRoute]] = {}
        for part, offers in joining_offers(federation, stages, training, engine):
            for offer in offers:
                of_site.setdefault(offer.site, []).append(teacher_route(offer))
            categories = len(part.categories)
            alone = [
                scores_of_part(of_site.get(site, ()), federation.test, categories)
                for site, data in enumerate(federation.sites)
                if max(data.known) < categories
            ]
            progress(f"{len(alone)} sites, each alone")
            largest = max(bytes_of(routes) for routes in of_site.values())
            yield Outcome(torch.stack(alone), 0.0, largest, traffic=Traffic())


@dataclass(frozen=True)
class Centralised:
    """One net of all categories, trained where all labelled pictures lie in one place.

    What a site knows only as OTHER has no label anywhere else either and is left out.
    """

    def __call__(
        self, federation: Federation, training: Training, engine: Engine, progress: Progress
    ) -> Outcome:
        """Train on everything for as many epochs as a site trains.

        Raises:
            BenchmarkFailed: if no site answers.
        """
        clock = CenterClock()
        replies = ask_until_all(engine, send_pictures, range(len(federation.sites)), {}, {})
        if not replies:
            raise BenchmarkFailed(
                "no site answered, so there is nothing to train on: let fewer sites drop out"
            )
        images = torch.cat([reply.tensors["images"] for reply in replies.values()])
        labels = torch.cat([reply.tensors["labels"] for reply in replies.values()])
        known = tuple(range(len(federation.categories)))
        pooled = LocalData(images[labels != OTHER], labels[labels != OTHER], known)
        one_place = Federation(
            federation.scenario,
            federation.categories,
            (pooled,),
            federation.test,
            federation.image_px,
            federation.seed,
        )
        shape = NetShape.of(one_place, training)
        plan = LocalPlan.of_round(one_place, training, 0, 1)
        with clock:
            trained = train_locally(pooled, weights_of(shape.initial(federation.seed)), plan.to_settings())
        progress(f"{len(pooled)} labelled pictures in one place, loss {trained.figures['loss']:.3f}")
        net = shape.holding(trained.tensors)
        logits = answers_to(net, federation.test.images)
        return Outcome(scores_of_logits(logits, answers_of(one_place)), clock.seconds, net_bytes(net))
