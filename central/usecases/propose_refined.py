"""A route's adapter was refined where the data are: the result becomes a candidate like any other.

What may be refined is a published route with an adapter, whose owner has told how good it is: without that
figure nothing could say whether a refined adapter is better. The candidate then goes through every gate,
and the owner's verdict on it must be no worse than on the route in the net, or that one stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from central.merge.events import AdapterLearned, EngineReady
from central.merge.execute import CENTER_SITE, agreement_with_teacher
from central.merge.order_desk import OrderDesk
from central.merge.situation import PlannedTask
from central.registry.audit_book import CENTRAL, CONSOLE, Action
from central.registry.events_book import MERGE_MOVED
from central.usecases.module_shelf import ModuleShelf
from central.usecases.move_merge import move_merge
from central.usecases.register_made import register_made
from transplant.artifact.codec import seal
from transplant.artifact.digest import canonical_json
from transplant.errors import MergeNotPossible, NotFound
from transplant.refinement.round_delta import add_to
from transplant.types import MergeState, ModuleKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from central.merge.tasks import MergeTask
    from central.registry.registry import Books
    from central.registry.values import StoredMerge
    from central.usecases.center import Center
    from transplant.artifact.manifest import Manifest
    from transplant.backends.blob_stores import StorePlace
    from transplant.nets.adapter import Adapter
    from transplant.types import Route, Task


@dataclass(frozen=True)
class Refinable:
    """A published route that may be refined.

    Attributes:
        route: it.
        merge: that brought it.
        closed: what its owner measured of it, in percent of the way from floor to teacher.
        sites: that may bring the category, the owner among them.
    """

    route: Route
    merge: StoredMerge
    closed: float
    sites: tuple[str, ...]


def refinable_route(center: Center, category: str, task: Task) -> Refinable:
    """Return a route of the newest version, if it can be refined.

    Raises:
        NotFound: if the net has no such route.
        MergeNotPossible: if it has no adapter, nobody measured it, or a refinement of it is being decided.
    """
    with center.registry.read() as books:
        route = _route(books, category, task)
        merge = books.merges.get(route.merge_key)
        open_ones = [m for m in books.merges.list(category, open_only=True) if m.task.task == task]
        sites = tuple(site for site, categories in books.sites.all().items() if category in categories)
    if route.adapter is None:
        raise MergeNotPossible(
            f"{category}/{task.value} is answered by its own task module: there is no adapter to refine"
        )
    if merge.task.supervised_by is not None:
        raise MergeNotPossible(
            f"{category}/{task.value} was learned from the teacher of {route.supervised_by}: no site has "
            "data of both to refine it with"
        )
    closed = merge.status.figures.get("closed")
    if closed is None:
        raise MergeNotPossible(
            f"{category}/{task.value} was published without its site's verdict: nothing could tell whether "
            "a refined adapter is better"
        )
    if open_ones:
        raise MergeNotPossible(
            f"merge {open_ones[0].task.key[:12]} of {category}/{task.value} is not decided yet: refine once "
            "it is"
        )
    return Refinable(route, merge, closed, sites)


def propose_refined(
    center: Center,
    place: StorePlace,
    refinable: Refinable,
    adapter: Adapter,
    record: Mapping[str, object],
    figures: Mapping[str, float],
) -> str:
    """Seal and register a refined adapter and put it before the gates as a candidate; return its merge key.

    Doing it twice is harmless: the key is the digest of how the adapter came about, its bytes included.

    Args:
        center: ports and policy.
        place: where the blobs are.
        refinable: the route that it was refined from.
        adapter: the result.
        record: how it came about, plain values for the lineage; "of" and "adapter" are added.
        figures: of the rounds.

    Raises:
        DisclosureMissing: if what the agreement is measured on is not there any more.
    """
    route, base = refinable.route, refinable.merge
    with center.registry.read() as books:
        shelf = ModuleShelf.of(center, books, [route.adapter or ""])
    start = shelf.manifest(route.adapter or "")
    order = OrderDesk(center, place).order(base.task)
    agreed = agreement_with_teacher(order, adapter)
    manifest, payload = seal(
        adapter,
        site=CENTER_SITE,
        category=route.category,
        kind=ModuleKind.ADAPTER,
        task=route.task,
        architecture=start.architecture.to_type(),
        metrics={**figures, **agreed},
        parents=(start.module_id, *start.parents),
    )
    told = {**record, "of": base.task.key, "adapter": manifest.module_id}
    task = replace(base.task, refinement=canonical_json(told).decode())
    center.store.put_bytes(payload)
    return put_before_gates(center, base, task, manifest, {**figures, **agreed})


def put_before_gates(
    center: Center, base: StoredMerge, task: MergeTask, adapter: Manifest, figures: dict[str, float]
) -> str:
    """Make a candidate of a task whose adapter is there already; return its merge key.

    Doing it twice is harmless.

    Args:
        center: ports and policy.
        base: the merge of the published route that it may take the place of.
        task: of the candidate; its key is new.
        adapter: manifest of its adapter, whose payload is in the store.
        figures: data-free ones, for the center's gate.
    """
    now = center.clock.now()
    with center.registry.write() as books:
        if any(each.task.key == task.key for each in books.merges.list(task.category)):
            return task.key
        register_made(books, adapter, now, CENTRAL, merge=task.key)
        books.merges.add(PlannedTask(base.teacher_id, task, replaces=base.task.key), now)
        about = {"teacher": base.teacher_id, "refines": base.task.key, "replaces": base.task.key}
        books.audit.append(CONSOLE, Action.MERGE_PLANNED, task.key, **about)
        planned = MergeState.PLANNED.value
        books.events.add(MERGE_MOVED, task.key, now, category=task.category, detail=planned)
        # One transaction: the merge loop finds a candidate, and never a merge that it could try to learn.
        move_merge(center, books, task.key, EngineReady(), actor=CONSOLE)
        learned = AdapterLearned(adapter.module_id, figures)
        move_merge(center, books, task.key, learned, actor=CONSOLE)
    center.bell.ring()
    return task.key


def published_adapter(center: Center, refinable: Refinable) -> Adapter:
    """Return the adapter as it is published.

    Raises:
        RegistryDamaged: if the store does not hold it any more.
    """
    with center.registry.read() as books:
        shelf = ModuleShelf.of(center, books, [refinable.route.adapter or ""])
    return cast("Adapter", shelf.load(refinable.route.adapter or ""))


def refined_adapter(center: Center, refinable: Refinable, delta: Mapping[str, Tensor]) -> Adapter:
    """Return the published adapter with a difference added to it.

    Raises:
        RegistryDamaged: if the store does not hold the adapter any more.
        ArtifactRejected: if the difference is none of this adapter's.
    """
    adapter = published_adapter(center, refinable)
    add_to(adapter, delta)
    return adapter


def _route(books: Books, category: str, task: Task) -> Route:
    version = books.versions.newest()
    for route in () if version is None else version.routes:
        if (route.category, route.task) == (category, task):
            return route
    raise NotFound(f"the net has no route {category[:80]}/{task.value}: there is nothing to refine yet")
