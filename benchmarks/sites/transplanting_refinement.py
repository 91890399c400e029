"""Refining a net's adapters at the sites that brought the categories; only adapters travel."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from benchmarks.sites.engine import for_site
from benchmarks.sites.transplanting_parcels import Parcels
from benchmarks.sites.transplanting_refinement_site import refine_adapters
from transplant.nets.adapter import Adapter
from transplant.nets.transplant_net import RouteNet
from transplant.refinement.round_delta import add_to

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from benchmarks.sites.contender import Progress, Training
    from benchmarks.sites.engine import Engine, Setting
    from benchmarks.sites.transplanting_center import CalibratedRoute, Center


def refined(
    routes: Sequence[CalibratedRoute],
    center: Center,
    training: Training,
    engine: Engine,
    labels: int,
    seed: int,
    progress: Progress,
) -> list[CalibratedRoute]:
    """Return the routes, each adapter refined at the site of its teacher over `training.rounds` rounds.

    A round that makes a route no better on its site's pictures is not taken over; a founder has nothing to
    refine; a site that does not answer in a round leaves its adapter as it is.

    Args:
        routes: to be refined; they stay as they are.
        center: calibrates what comes out.
        training: rounds, epochs over all rounds, batch size and precision.
        engine: asks the sites.
        labels: how many of its labels a site may learn from.
        seed: of the run.
        progress: told after each round.
    """
    moving = {
        place: copy.deepcopy(route.net.adapter)
        for place, route in enumerate(routes)
        if isinstance(route.net.adapter, Adapter)
    }
    settings: dict[str, Setting] = {
        "arch": training.arch,
        "epochs": training.local_epochs,
        "rounds": training.rounds,
        "batch_size": training.batch_size,
        "precision": training.precision,
        "labels": labels,
        "run_seed": seed,
    }
    parcels = Parcels()
    parcels.made(route.offer for route in routes)
    sites = sorted({routes[place].offer.site for place in moving})
    for number in range(1, training.rounds + 1):
        if not sites:
            break
        sent: dict[str, Tensor] = {}
        for place, adapter in moving.items():
            sent |= _sent(routes[place], adapter, parcels)
        replies = engine.ask(refine_adapters, sites, sent, settings | {"round": number})
        parcels.answered(replies)
        taken = 0
        for place, adapter in moving.items():
            offer = routes[place].offer
            reply = replies.get(offer.site)
            if reply is None:
                continue
            before, after = (reply.figures[f"{offer.category}.{when}"] for when in ("before", "after"))
            if after < before:
                prefix = f"{offer.category}."
                add_to(adapter, _below(prefix, reply.tensors))
                taken += 1
        progress(f"refinement, round {number} of {training.rounds}: {taken} of {len(moving)} adapters better")
    return [
        center.calibrated(
            route.offer, RouteNet(route.net.category_module, moving[place], route.net.task_module)
        )
        if place in moving
        else route
        for place, route in enumerate(routes)
    ]


def _sent(route: CalibratedRoute, adapter: Adapter, parcels: Parcels) -> dict[str, Tensor]:
    """Return what the site of a route is sent; its teacher it has, and g_S once it has answered."""
    offer = route.offer
    modules = {
        "host": route.net.task_module,
        f"{offer.category}.f": offer.category_module,
        f"{offer.category}.g": offer.task_module,
    }
    moved = {
        for_site(offer.site, f"{offer.category}.h.{name}"): t for name, t in adapter.state_dict().items()
    }
    return parcels.packed(offer.site, modules) | moved


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}
