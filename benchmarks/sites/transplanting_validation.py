"""The gate of a simulated net: sites measure routes on what they held out, and the center compares."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.journey.pictures import wilson_interval
from benchmarks.sites.patience import ask_until_all
from benchmarks.sites.transplanting_validation_site import validate_routes
from transplant.nets.adapter import Adapter
from transplant.nets.prediction import Calibration
from transplant.nets.temperature import TEMPERATURE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

    from benchmarks.sites.contender import Training
    from benchmarks.sites.engine import Engine
    from benchmarks.sites.transplanting_center import CalibratedRoute
    from benchmarks.sites.transplanting_parcels import Parcels
    from transplant.nets.transplant_net import RouteNet


@dataclass(frozen=True)
class Gate:
    """What sites found of a route: error in percent and temperature, on all their pictures together."""

    error: float
    held_out: int
    temperature: float = 1.0

    @property
    def worst_error(self) -> float:
        """Return the upper end of the 95 % Wilson interval."""
        return wilson_interval(self.error, self.held_out)[1]


def gates_of(
    routes: Mapping[str, RouteNet],
    validators: Mapping[str, Sequence[int]],
    parcels: Parcels,
    training: Training,
    engine: Engine,
    seed: int,
) -> dict[str, Gate]:
    """Have routes measured in one round of validation, in which figures alone come back.

    Args:
        routes: by their `route_key`, all with the same g_S.
        validators: the sites that measure each.
        parcels: packs what is sent.
        training: the architecture.
        engine: asks the sites, who is away again.
        seed: of the run.

    Returns:
        A gate for each route that any of its sites answered about.
    """
    sent: dict[str, Tensor] = {}
    for key, net in routes.items():
        for site in validators[key]:
            sent |= parcels.packed(site, modules_of(key, net))
    sites = sorted({site for key in routes for site in validators[key]})
    settings = {"arch": training.arch, "run_seed": seed}
    replies = ask_until_all(engine, validate_routes, sites, sent, settings) if sites else {}
    parcels.answered(replies)
    gates: dict[str, Gate] = {}
    for key in routes:
        told = [replies[site].figures for site in validators[key] if site in replies]
        pictures = sum(int(figures[f"{key}.held_out"]) for figures in told)
        if pictures:
            wrong = sum(figures[f"{key}.error"] * figures[f"{key}.held_out"] for figures in told)
            # In logs: twice too sure at one site and half as sure at another is right in the middle.
            warmth = sum(
                math.log(figures[f"{key}.{TEMPERATURE}"]) * figures[f"{key}.held_out"] for figures in told
            )
            gates[key] = Gate(wrong / pictures, pictures, math.exp(warmth / pictures))
    return gates


def calibrated(route: CalibratedRoute, gate: Gate | None) -> CalibratedRoute:
    """Return the route as sure as its sites found it right; as it was, where none of them answered."""
    return route if gate is None else replace(route, calibration=Calibration(gate.temperature))


def modules_of(key: str, net: RouteNet) -> dict[str, nn.Module]:
    """Return the modules of a route by the names under which they go to a site."""
    modules: dict[str, nn.Module] = {"host": net.task_module, f"{key}.f": net.category_module}
    return modules | ({f"{key}.h": net.adapter} if isinstance(net.adapter, Adapter) else {})


def best_by_gate(routes: Sequence[CalibratedRoute], gates: Mapping[str, Gate]) -> list[CalibratedRoute]:
    """Return for each category the route that is surely best: the lowest upper end of its error.

    A route that nobody measured comes last; between equals the one that stands first is taken.
    """
    best: dict[int, CalibratedRoute] = {}
    for route in routes:
        other = best.setdefault(route.offer.category, route)
        if _worst(route, gates) < _worst(other, gates):
            best[route.offer.category] = route
    return [best[category] for category in sorted(best)]


def _worst(route: CalibratedRoute, gates: Mapping[str, Gate]) -> float:
    gate = gates.get(route.offer.key)
    return float("inf") if gate is None else gate.worst_error
