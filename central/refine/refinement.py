"""One refinement from its preconditions to its candidate: who may join, the run, what comes of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safetensors.torch import load

from central.home import identity_folder, store_place
from central.refine.federated_run import FederatedRun, RunFolder, RunState
from central.refine.superlink import SuperLink
from central.usecases.propose_refined import (
    propose_refined,
    published_adapter,
    refinable_route,
    refined_adapter,
)
from transplant.artifact.digest import canonical_json, sha256_hex
from transplant.artifact.round_order import RefinedRoute
from transplant.errors import CertificateInvalid, RoundsUnfinished
from transplant.types import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from central.refine.federated_run import Rounds, RunRecord
    from central.settings import CentralSettings
    from central.usecases.center import Center
    from central.usecases.propose_refined import Refinable
    from transplant.refinement.refinement_config import RefinementConfig
    from transplant.types import Task

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refined:
    """What a refinement came to: its candidate's merge, and the record of its rounds."""

    merge_key: str
    record: RunRecord
    figures: dict[str, float]


def refine_category(
    center: Center,
    settings: CentralSettings,
    category: str,
    task: Task,
    config: RefinementConfig,
    rounds: Rounds,
    listen: str,
    *,
    progress: Callable[[str], None] = log.info,
    stopped: Callable[[], bool] = lambda: False,
) -> Refined:
    """Refine a route's adapter at the sites that hold its category, and propose what comes of it.

    Args:
        center: ports and policy.
        settings: of the center.
        category: of the route.
        task: of the route.
        config: of the sites' work.
        rounds: how rounds are held.
        listen: HOST:PORT that sites come to.
        progress: told a line now and then.
        stopped: asked now and then whether to leave off.

    Raises:
        NotFound: if there is no such route.
        MergeNotPossible: if it cannot be refined now.
        CertificateInvalid: if fewer sites than the quorum have a certificate that this center has a copy of.
        RoundsUnfinished: if the run came to nothing; the message holds its state and why.
        MergeEngineUnavailable: if Flower's processes do not start.
    """
    refinable = refinable_route(center, category, task)
    keys = site_keys(center, settings, refinable.sites, rounds.quorum)
    route = RefinedRoute.of(refinable.route)
    order = {"route": route.model_dump(mode="json"), "settings": config.to_dict()}
    started = {"order": order, "rounds": vars(rounds), "at": center.clock.now().isoformat()}
    name = sha256_hex(canonical_json(started))
    folder = settings.home / "refine" / name[:16]
    folder.mkdir(parents=True, exist_ok=True)
    adapter = published_adapter(center, refinable)
    shapes = {each: tuple(parameter.shape) for each, parameter in adapter.named_parameters()}
    with SuperLink(folder, identity_folder(settings.home), listen) as link:
        nodes = link.register(keys)
        run = FederatedRun(name, "refine", order, nodes, shapes, rounds)
        record = link.run(run, progress, stopped, lambda: keys_now(center, settings, (category,)))
    if record.state is not RunState.DONE:
        raise RoundsUnfinished(f"{record.state.value}: {record.reason}; see {folder}")
    return _propose(center, settings, refinable, config, rounds, record, folder)


def site_keys(
    center: Center, settings: CentralSettings, sites: Sequence[str], quorum: int
) -> list[tuple[str, bytes]]:
    """Return each site with its certificates that are valid now and of which this center has a copy.

    Raises:
        CertificateInvalid: if fewer sites than the quorum have one.
    """
    folder, found = identity_folder(settings.home), _valid(center, settings, sites)
    have = {site for site, _ in found}
    if len(have) < quorum:
        lacking = ", ".join(site for site in sites if site not in have) or "no other site has the category"
        raise CertificateInvalid(
            f"{len(have)} sites can join, and {quorum} are needed. Without a valid certificate of which a "
            f"copy is in {folder.root / 'issued'}: {lacking}; `transplant-central provision renew` makes one"
        )
    return found


def keys_now(
    center: Center, settings: CentralSettings, categories: Collection[str]
) -> list[tuple[str, bytes]]:
    """Return what `site_keys` does for all sites that may bring one of the categories now, be it few."""
    with center.registry.read() as books:
        known = books.sites.all()
    return _valid(
        center, settings, [site for site, brought in known.items() if set(brought) & set(categories)]
    )


def _valid(center: Center, settings: CentralSettings, sites: Sequence[str]) -> list[tuple[str, bytes]]:
    folder, now = identity_folder(settings.home), center.clock.now()
    found: list[tuple[str, bytes]] = []
    with center.registry.read() as books:
        for site in sites:
            for certificate in books.sites.certificates(Role.SITE, site):
                kept = folder.issued(certificate.serial)
                if kept is not None and not certificate.revoked and certificate.expires_at > now:
                    found.append((site, kept))
    return found


def how_it_came(
    config: RefinementConfig, rounds: Rounds, record: RunRecord
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return what everybody may know of a run that is done: for the lineage, and as the adapter's figures.

    Under noise of the center nothing else that sites told goes out: no noise covers their losses and counts.
    Privacy at the sites is told only where every answer of every round had noise; the largest loss counts.
    """
    at_sites = [each.figures["epsilon"] for each in record.rounds]
    epsilon, delta = 0.0, 0.0
    if rounds.epsilon:
        epsilon, delta = rounds.epsilon, rounds.delta
    elif all(at_sites):
        epsilon, delta = max(at_sites), max(each.figures["delta"] for each in record.rounds)
    privacy = {"where": "center" if rounds.epsilon else "sites", "epsilon": epsilon, "delta": delta}
    labels = max(each.figures["labels"] for each in record.rounds) if config.labels else 0.0
    told = {
        "strategy": rounds.strategy,
        "rounds": len(record.rounds),
        "sites": list(record.sites),
        "labels": None if config.labels and epsilon else labels,
        "privacy": privacy if epsilon else None,
        "seed": rounds.seed,
        "settings": config.to_dict(),
    }
    figures = {"rounds": float(len(record.rounds)), "sites": float(len(record.sites))}
    if not epsilon:
        figures |= {"labels": labels, "loss": record.rounds[-1].figures["loss"]}
    return told, figures


def _propose(
    center: Center,
    settings: CentralSettings,
    refinable: Refinable,
    config: RefinementConfig,
    rounds: Rounds,
    record: RunRecord,
    folder: Path,
) -> Refined:
    adapter = refined_adapter(center, refinable, load(RunFolder(folder).arrays.read_bytes()))
    told, figures = how_it_came(config, rounds, record)
    key = propose_refined(center, store_place(settings), refinable, adapter, told, figures)
    with center.registry.read() as books:
        return Refined(key, record, books.merges.get(key).status.figures)
