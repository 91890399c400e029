"""Refining a net's adapters at the sites that hold the categories; only adapters travel back.

As in `central.refine`: in each round every site with a teacher of the category refines the adapter on its own
pictures, the center averages the differences, and at the end the sites' gate keeps the better of the
adapter that it began with and the one that came out.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.sites.engine import SiteReply
from benchmarks.sites.peers.averaging import weighted_mean
from benchmarks.sites.peers.local_training import EXAMPLES
from benchmarks.sites.transplanting_refinement_site import IMAGES, refine_adapters
from benchmarks.sites.transplanting_validation import calibrated, gates_of, modules_of
from transplant.nets.adapter import Adapter
from transplant.nets.transplant_net import RouteNet
from transplant.refinement.round_delta import add_to

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

    from benchmarks.sites.contender import Progress, Training
    from benchmarks.sites.engine import Engine, Setting
    from benchmarks.sites.transplanting_center import CalibratedRoute, Offer
    from benchmarks.sites.transplanting_parcels import Parcels

_REFINED = "-refined"


def refined(
    routes: Mapping[str, CalibratedRoute],
    teachers: Mapping[str, Sequence[Offer]],
    parcels: Parcels,
    training: Training,
    engine: Engine,
    labels: int,
    seed: int,
    progress: Progress,
) -> dict[str, CalibratedRoute]:
    """Return the routes, each adapter refined over `training.rounds` rounds where its sites find that better.

    A founder has nothing to refine; a round that no site of a route answers leaves its adapter as it is.

    Args:
        routes: by their `route_key`; they stay as they are.
        teachers: of each route, those whose sites refine and judge it: all of its category.
        parcels: packs what is sent.
        training: rounds, epochs over all rounds, batch size and precision.
        engine: asks the sites.
        labels: how many of its labels a site may learn from.
        seed: of the run.
        progress: told after each round.
    """
    moving = {key: route.net for key, route in routes.items() if isinstance(route.net.adapter, Adapter)}
    if not moving:
        return dict(routes)
    settings: dict[str, Setting] = {
        "arch": training.arch,
        "epochs": training.local_epochs,
        "rounds": training.rounds,
        "batch_size": training.batch_size,
        "precision": training.precision,
        "labels": labels,
        "run_seed": seed,
    }
    sites = sorted({offer.site for key in moving for offer in teachers[key]})
    for number in range(1, training.rounds + 1):
        sent: dict[str, Tensor] = {}
        for key, net in moving.items():
            for offer in teachers[key]:
                sent |= parcels.packed(offer.site, _modules(key, net, offer))
        replies = engine.ask(refine_adapters, sites, sent, settings | {"round": number})
        parcels.answered(replies)
        moving = {key: _moved(key, net, replies) for key, net in moving.items()}
        progress(f"refinement, round {number} of {training.rounds}: {len(replies)} of {len(sites)} sites")
    both = {key: routes[key].net for key in moving}
    both |= {f"{key}{_REFINED}": net for key, net in moving.items()}
    validators = {key: [offer.site for offer in teachers[key.removesuffix(_REFINED)]] for key in both}
    gates = gates_of(both, validators, parcels, training, engine, seed)
    better = {key for key in moving if key in gates and gates[f"{key}{_REFINED}"].error < gates[key].error}
    progress(f"refinement: {len(better)} of {len(moving)} adapters better")
    return {
        key: calibrated(replace(route, net=moving[key]), gates.get(f"{key}{_REFINED}"))
        if key in better
        else route
        for key, route in routes.items()
    }


def _modules(key: str, net: RouteNet, offer: Offer) -> dict[str, nn.Module]:
    """Return what the site of a teacher needs to refine a route: the route, and the teacher."""
    modules = modules_of(key, net) | {f"{key}.g": offer.task_module}
    if offer.category_module is not net.category_module:
        modules[f"{key}.own"] = offer.category_module
    return modules


def _moved(key: str, net: RouteNet, replies: Mapping[int, SiteReply]) -> RouteNet:
    """Return the route with its adapter moved by the mean of what its sites answered."""
    told = {
        site: SiteReply(_below(f"{key}.", reply.tensors), {EXAMPLES: reply.figures[f"{key}.{IMAGES}"]})
        for site, reply in replies.items()
        if f"{key}.{IMAGES}" in reply.figures
    }
    if not told:
        return net
    adapter = copy.deepcopy(net.adapter)
    add_to(adapter, weighted_mean(told))
    return RouteNet(net.category_module, adapter, net.task_module)


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}
