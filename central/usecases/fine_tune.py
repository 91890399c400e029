"""Fine-tune a resident task module on the categories that lead into it: a new module, never in place.

The last step of growth (arXiv 1901.06978, section 1.2.1) is optional, and an operator's decision. What comes
of it is registered under its own digest, with the module that it came from among its parents. The routes of
the net stay as they are: for each category that the new module promises to serve no worse, the same f and the
same adapter are proposed with it, and every such candidate passes the gates on its own. The owning site's
verdict must be no worse than on the published route, or that one stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from central.merge.execute import CENTER_SITE, problem_of
from central.merge.order_desk import OrderDesk
from central.merge.tasks import Host
from central.registry.audit_book import CONSOLE
from central.usecases.module_shelf import ModuleShelf
from central.usecases.propose_refined import put_before_gates, refinable_route
from central.usecases.register_made import register_made
from transplant.artifact.codec import seal
from transplant.artifact.digest import canonical_json, derive_seed
from transplant.datafree.fine_tuning import FineTuner, SharedRoute
from transplant.errors import MergeCancelled, MergeNotPossible, NotFound
from transplant.nets.learner_config import LearnerConfig
from transplant.nets.transplant_net import freeze
from transplant.types import ModuleKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import nn

    from central.usecases.center import Center
    from central.usecases.propose_refined import Refinable
    from transplant.artifact.manifest import Manifest
    from transplant.backends.blob_stores import StorePlace
    from transplant.datafree.fine_tuning import FineTuned
    from transplant.types import Task


@dataclass(frozen=True)
class Tuned:
    """What a fine-tuning came to.

    Attributes:
        task_module: id of the new module.
        before: category -> data-free figures behind the old module.
        after: the same behind the new one.
        candidates: category -> merge key of its candidate, for those that promise to be no worse.
    """

    task_module: str
    before: Mapping[str, Mapping[str, float]]
    after: Mapping[str, Mapping[str, float]]
    candidates: Mapping[str, str]


def fine_tune(
    center: Center,
    place: StorePlace,
    task: Task,
    categories: Sequence[str],
    *,
    steps: int,
    seed: int = 0,
    progress: Callable[[int, int, float], None] = lambda _step, _of, _loss: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Tuned:
    """Fine-tune the task module that routes of `task` lead into, and propose the routes that gain by it.

    Doing it twice is harmless: the same routes, steps and seed give the same bytes and the same candidates.

    Args:
        center: ports and policy.
        place: where the blobs are.
        task: of the module.
        categories: whose routes take part; none: all that lead into the oldest task module of this task.
        steps: of Adam, in all; categories take turns.
        seed: of every random choice.
        progress: called with (steps done, steps in all, loss).
        stopped: asked before each step.

    Raises:
        NotFound: if the net has no route of a category.
        MergeNotPossible: if fewer than two categories with adapters share a task module, one of them was
            never measured by its site, or no category gains.
        MergeCancelled: if `stopped` said so; nothing is left.
    """
    taking_part = _taking_part(center, task, categories)
    refinables = [refinable_route(center, category, task) for category in taking_part]
    host = _host_of(refinables)
    with center.registry.read() as books:
        shelf = ModuleShelf.of(
            center, books, [host.task_module, *(each.route.adapter or "" for each in refinables)]
        )
    old = shelf.manifest(host.task_module)
    tuned, config = _tuned(center, place, shelf, host, refinables, steps, seed, progress, stopped)
    adapters = tuple(each.route.adapter or "" for each in refinables)
    manifest, payload = seal(
        tuned.task_module,
        site=CENTER_SITE,
        category=old.category,
        kind=ModuleKind.TASK,
        task=task,
        architecture=old.architecture.to_type(),
        metrics={"categories": float(len(refinables)), "worst_gain": tuned.worst_gain},
        parents=(host.category_module, host.task_module, *adapters),
    )
    gaining = [each for each in refinables if _gains(tuned, each.route.category)]
    if not gaining:
        told = "; ".join(
            f"{name} {tuned.before[name]['agreement']:.1f} -> {tuned.after[name]['agreement']:.1f} %"
            for name in tuned.before
        )
        raise MergeNotPossible(f"no category agrees better with its teacher behind the new module ({told})")
    _register(center, manifest, payload, host)
    record = {
        "fine_tuned": manifest.module_id,
        "from": host.task_module,
        "categories": [each.route.category for each in refinables],
        "steps": steps,
        "seed": seed,
        "settings": config.to_dict(),
    }
    new_host = Host(host.category, host.category_module, manifest.module_id)
    candidates = {
        each.route.category: _propose(center, shelf, each, new_host, record, tuned) for each in gaining
    }
    return Tuned(manifest.module_id, tuned.before, tuned.after, candidates)


def _taking_part(center: Center, task: Task, categories: Sequence[str]) -> tuple[str, ...]:
    """Return the categories whose routes have an adapter into one task module."""
    with center.registry.read() as books:
        version = books.versions.newest()
    routes = () if version is None else version.routes
    known = {route.category for route in routes if route.task == task}
    unknown = [category for category in categories if category not in known]
    if unknown:
        raise NotFound(f"the net has no route {', '.join(unknown)[:80]}/{task.value}")
    led = [route for route in routes if route.task == task and route.adapter is not None]
    if categories:
        return tuple(categories)
    if not led:
        raise MergeNotPossible(f"no route of {task.value} has an adapter: there is nothing to fine-tune on")
    return tuple(route.category for route in led if route.task_module == led[0].task_module)


def _host_of(refinables: Sequence[Refinable]) -> Host:
    hosts = {each.route.task_module: each.merge.task.host for each in refinables}
    if len(hosts) > 1 or len(refinables) < 2:
        raise MergeNotPossible(
            f"fine-tuning needs two categories or more behind one task module; these are {len(refinables)} "
            f"behind {len(hosts)}"
        )
    (host,) = hosts.values()
    if host is None:
        raise MergeNotPossible("these routes have no adapter: there is nothing to fine-tune on")
    return host


def _tuned(
    center: Center,
    place: StorePlace,
    shelf: ModuleShelf,
    host: Host,
    refinables: Sequence[Refinable],
    steps: int,
    seed: int,
    progress: Callable[[int, int, float], None],
    stopped: Callable[[], bool],
) -> tuple[FineTuned, LearnerConfig]:
    desk = OrderDesk(center, place)
    shared = freeze(shelf.load(host.task_module))
    routes: list[SharedRoute] = []
    for each in refinables:
        problem = replace(problem_of(desk.order(each.merge.task))[0], host_task_module=shared)
        adapter: nn.Module = freeze(shelf.load(each.route.adapter or ""))
        routes.append(SharedRoute(each.route.category, problem, adapter))
    settings = refinables[0].merge.task.settings
    config = replace(
        LearnerConfig.from_dict(settings),
        steps=steps,
        seed=derive_seed("fine-tune", *(each.route.merge_key for each in refinables), str(seed)),
    )
    tuner = FineTuner(tuple(routes))
    materials, state = tuner.prepare(config), tuner.init()
    while state.step < steps:
        if stopped():
            raise MergeCancelled(f"fine-tuning was stopped at step {state.step} of {steps}")
        state, figures = tuner.step(config, materials, state)
        progress(state.step, steps, figures["loss"])
    return tuner.finish(materials, state), config


def _gains(tuned: FineTuned, category: str) -> bool:
    return tuned.after[category]["agreement"] >= tuned.before[category]["agreement"]


def _register(center: Center, manifest: Manifest, payload: bytes, host: Host) -> None:
    center.store.put_bytes(payload)
    with center.registry.write() as books:
        now = center.clock.now()
        register_made(books, manifest, now, CONSOLE, fine_tuned_from=host.task_module)


def _propose(
    center: Center,
    shelf: ModuleShelf,
    refinable: Refinable,
    host: Host,
    record: Mapping[str, object],
    tuned: FineTuned,
) -> str:
    """Put the route with the new task module before the gates; its adapter is the published one."""
    base, adapter = refinable.merge, refinable.route.adapter or ""
    told = {**record, "of": base.task.key, "adapter": adapter}
    task = replace(base.task, host=host, refinement=canonical_json(told).decode())
    figures = dict(tuned.after[refinable.route.category])
    return put_before_gates(center, base, task, shelf.manifest(adapter), figures)
