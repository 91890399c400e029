"""Founding: sites with different categories train task modules together, and ship them as their own.

The center holds no f in it. A task module in the registry names the category module that it was trained
on, and a founded one was trained on several: so the sites are handed what all rounds came to, and each ships
its f with it by the usual way. Whoever is first founds the net with it; the others are led into it, or are
let bring it along (`residents`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.home import identity_folder
from central.refine.federated_run import FederatedRun, RunState
from central.refine.refinement import keys_now, site_keys
from central.refine.superlink import SuperLink
from central.registry.audit_book import CONSOLE, Action
from transplant.artifact.digest import canonical_json, sha256_hex
from transplant.artifact.round_order import FoundedNet
from transplant.errors import MergeNotPossible, RoundsUnfinished
from transplant.refinement.founding import founding_net

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from central.refine.federated_run import Rounds, RunRecord
    from central.settings import CentralSettings
    from central.usecases.center import Center
    from transplant.refinement.founding_config import FoundingConfig
    from transplant.types import Architecture, Task


def found_net(
    center: Center,
    settings: CentralSettings,
    categories: Sequence[str],
    architecture: Architecture,
    tasks: Sequence[Task],
    config: FoundingConfig,
    rounds: Rounds,
    listen: str,
    *,
    progress: Callable[[str], None],
    stopped: Callable[[], bool] = lambda: False,
) -> RunRecord:
    """Let the sites of several categories train task modules together; return how the rounds went.

    Args:
        center: ports and policy.
        settings: of the center.
        categories: whose sites found.
        architecture: of every founding site's net.
        tasks: of the shared modules.
        config: of the sites' work.
        rounds: how rounds are held.
        listen: HOST:PORT that sites come to.
        progress: told a line now and then.
        stopped: asked now and then whether to leave off.

    Raises:
        MergeNotPossible: if fewer than two categories are named.
        CertificateInvalid: if fewer sites than the quorum can join.
        RoundsUnfinished: if the run came to nothing.
        MergeEngineUnavailable: if Flower's processes do not start.
    """
    if len(set(categories)) < 2:
        raise MergeNotPossible(
            "a net is founded on at least two categories; the first teacher founds one alone"
        )
    with center.registry.read() as books:
        known = books.sites.all()
    sites = tuple(site for site, brought in known.items() if set(brought) & set(categories))
    keys = site_keys(center, settings, sites, rounds.quorum)
    net = FoundedNet(
        architecture=architecture.id,
        hyper_parameters=dict(architecture.hyper_parameters),
        tasks=tuple(tasks),
    )
    order = {"net": net.model_dump(mode="json"), "settings": config.to_dict()}
    name = sha256_hex(
        canonical_json({"order": order, "rounds": vars(rounds), "at": center.clock.now().isoformat()})
    )
    folder = settings.home / "refine" / name[:16]
    folder.mkdir(parents=True, exist_ok=True)
    start = founding_net(architecture, tasks, rounds.seed)
    shapes = {each: tuple(parameter.shape) for each, parameter in start.task_modules.named_parameters()}
    with SuperLink(folder, identity_folder(settings.home), listen) as link:
        run = FederatedRun(name, "found", order, link.register(keys), shapes, rounds)
        record = link.run(run, progress, stopped, lambda: keys_now(center, settings, categories))
    if record.state is not RunState.DONE:
        raise RoundsUnfinished(f"{record.state.value}: {record.reason}; see {folder}")
    with center.registry.write() as books:
        about = {"categories": sorted(set(categories)), "sites": list(record.sites), "rounds": rounds.rounds}
        books.audit.append(CONSOLE, Action.NET_FOUNDED, name, **about)
    return record
