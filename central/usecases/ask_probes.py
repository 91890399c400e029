"""What the center asks a site that keeps its task modules at home."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from central.registry.audit_book import CENTRAL, Action
from transplant.artifact.digest import derive_seed
from transplant.artifact.manifest import parse_manifest
from transplant.datafree.procedural_images import GENERATOR_ID
from transplant.errors import MergeNotPossible, NotAllowed
from transplant.nets.architecture_table import image_px
from transplant.nets.disclosures import ProbeRequest
from transplant.rpc.messages import AskedProbe
from transplant.types import ModuleKind, Task

if TYPE_CHECKING:
    from central.registry.registry import Books
    from central.registry.values import RegisteredModule
    from central.usecases.center import Center, ProbePolicy
    from transplant.types import Identity


def list_probe_requests(center: Center, caller: Identity, category: str) -> tuple[AskedProbe, ...]:
    """Return what the caller is asked about each category module that it pushed without task modules.

    A request is made when it is first asked for and stays as it is: answers that are on their way must
    fit after a restart with other settings, too.

    Raises:
        NotAllowed: if the caller may not bring this category.
        MergeNotPossible: if this category is to found the net, for which answers are not enough.
    """
    with center.registry.write() as books:
        if category not in books.sites.categories(caller.name):
            raise NotAllowed(f"site {caller.name} may not bring the category {category[:80]}")
        refuse_founding_by_answers(center, books, category, caller.name)
        asked: list[AskedProbe] = []
        for module in _without_task_modules(books, category, caller.name):
            for task in Task:
                request = request_for(module, task, center.policy.probe)
                if books.probes.add(module.module_id, request, center.clock.now()):
                    about = {"request": asdict(request)}
                    books.audit.append(CENTRAL, Action.PROBE_ASKED, module.module_id, **about)
            asked += [AskedProbe(module.module_id, request) for request in books.probes.of(module.module_id)]
    return tuple(asked)


def refuse_founding_by_answers(center: Center, books: Books, category: str, site: str) -> None:
    """Refuse answers of the category that the operator chose to found the net, while it is not founded.

    Raises:
        MergeNotPossible: saying who can change what.
    """
    if center.policy.plan.founder == category and books.versions.newest() is None:
        raise MergeNotPossible(
            f"{category} is to found the net, and a founder must ship its task modules: set ship to modules "
            f"at site {site}, or have the operator name another founder"
        )


def request_for(module: RegisteredModule, task: Task, policy: ProbePolicy) -> ProbeRequest:
    """Return the request about one task on a category module: of one pool of images for all tasks."""
    side = image_px(parse_manifest(module.manifest).architecture.to_type())
    pool, count = policy.asked(task, side)
    return ProbeRequest(
        generator=GENERATOR_ID,
        seed=derive_seed("probe", module.module_id) % 2**31,
        pool=pool,
        count=count,
        image_px=side,
        drawings_percent=policy.drawings_percent,
        grid=min(policy.grid, side) if task is Task.SEGMENTATION else 1,
        task=task,
    )


def _without_task_modules(books: Books, category: str, site: str) -> tuple[RegisteredModule, ...]:
    modules = [module for module in books.modules.list(category) if module.site == site]
    stood_on = {
        parent
        for module in modules
        if module.kind is ModuleKind.TASK
        for parent in parse_manifest(module.manifest).parents
    }
    return tuple(
        module
        for module in modules
        if module.kind is ModuleKind.CATEGORY and module.module_id not in stood_on
    )
