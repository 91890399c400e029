"""What a caller sees of merges: their state, progress and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transplant.errors import NotFound, RegistryDamaged
from transplant.types import Identity, MergeState, MergeSummary, Role, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from central.registry.registry import Books
    from central.registry.values import StoredMerge
    from central.usecases.center import Center
    from transplant.types import NetVersion, Task

_HEARTBEAT_S = 1.0
_WEIGHTS = (
    MergeState.PLANNED,
    MergeState.LEARNING,
    MergeState.CANDIDATE,
    MergeState.VALIDATING,
    MergeState.PUBLISHED,
)
"""How much a merge says about its task; one that ended unpublished says least."""


def list_merges(center: Center, caller: Identity, category: str = "") -> tuple[MergeSummary, ...]:
    """Return the merges that the caller may see (a site: its own), of one category or of all."""
    with center.registry.read() as books:
        merges = [merge for merge in books.merges.list(category) if may_see(caller, merge)]
    return tuple(summary_of(center, merge) for merge in merges)


def watch_merge(
    center: Center, caller: Identity, merge_key: str, going: Callable[[], bool]
) -> Iterator[MergeSummary]:
    """Yield a merge whenever something about it changed, until it has ended or `going` says no.

    Raises:
        NotFound: if there is no such merge for the caller.
    """
    last: MergeSummary | None = None
    while going():
        heard = center.bell.rings
        with center.registry.read() as books:
            merge = visible_merge(books, caller, merge_key)
        summary = summary_of(center, merge)
        if summary != last:
            last = summary
            yield summary
        if merge.status.ended:
            return
        center.bell.wait(heard, _HEARTBEAT_S)  # progress within a state rings no bell


def speaking_merges(merges: Iterable[StoredMerge]) -> tuple[StoredMerge, ...]:
    """Return for each task of a teacher the merge that says how it stands.

    That is the published one; else, of those under way, the one that has come furthest; else the last that
    was tried. Others of the same task are attempts beside or before it, which lineage tells of. What other
    teachers supervise is not this teacher's.
    """
    counting: dict[Task, StoredMerge] = {}
    for merge in merges:
        known = counting.get(merge.task.task)
        if merge.task.supervised_by is None and (known is None or _weight(merge) >= _weight(known)):
            counting[merge.task.task] = merge
    return tuple(counting.values())


def _weight(merge: StoredMerge) -> int:
    return _WEIGHTS.index(merge.status.state) if merge.status.state in _WEIGHTS else -1


def fetch_candidates(center: Center, caller: Identity) -> tuple[tuple[str, Route], ...]:
    """Return the candidate routes that await the caller's verdict."""
    with center.registry.read() as books:
        return tuple(
            (merge.task.key, route_of(merge))
            for merge in books.merges.list(open_only=True, site=caller.name)
            if merge.status.state is MergeState.VALIDATING and not merge.status.accepted
        )


def visible_merge(books: Books, caller: Identity, merge_key: str) -> StoredMerge:
    """Return a merge that the caller may see.

    Raises:
        NotFound: if there is none, or it is another site's.
    """
    merge = books.merges.get(merge_key)
    if not may_see(caller, merge):
        raise NotFound(f"no merge {merge_key[:80]}")
    return merge


def replaced_by(version: NetVersion | None, merge: StoredMerge) -> Route | None:
    """Return the route of a version whose place a merge's route would take."""
    place = merge.task.category, merge.task.task
    for route in () if version is None else version.routes:
        if (route.category, route.task) == place and route.merge_key != merge.task.key:
            return route
    return None


def merge_named(books: Books, name: str) -> StoredMerge:
    """Return the merge whose key begins so, as `status` and `plan` print it.

    Raises:
        NotFound: if there is none, or there are several.
    """
    found = [merge for merge in books.merges.list() if merge.task.key.startswith(name)] if name else []
    if len(found) != 1:
        raise NotFound(
            f"{len(found)} merges have a key that begins with {name[:80]}; name one: transplant-central "
            "status lists them"
        )
    return found[0]


def may_see(caller: Identity, merge: StoredMerge) -> bool:
    """Tell whether a merge is the caller's to see."""
    return caller.role is not Role.SITE or merge.task.site == caller.name


def route_of(merge: StoredMerge) -> Route:
    """Return the route that a merge adds to the net (once its adapter is learned).

    Raises:
        RegistryDamaged: if its task names no task module to lead to; the planner plans no such task.
    """
    task = merge.task
    task_module = task.teacher_task_module if task.host is None else task.host.task_module
    if task_module is None:
        raise RegistryDamaged(f"merge {task.key[:12]} has no task module to route to")
    return Route(
        category=task.category,
        task=task.task,
        category_module=task.teacher_category_module,
        adapter=merge.status.adapter,
        task_module=task_module,
        merge_key=task.key,
        supervised_by="" if task.supervised_by is None else task.supervised_by.category,
    )


def summary_of(center: Center, merge: StoredMerge) -> MergeSummary:
    """Return what travels about a merge; while it is being learned, with the worker's progress."""
    status = merge.status
    step, total_steps, figures = 0, 0, status.figures
    if not merge.task.identity:
        progress = center.workshop.bench(merge.task.key).progress()
        step, total_steps = progress.step, progress.total_steps
        if status.state is MergeState.LEARNING and progress.figures:
            figures = progress.figures
    return MergeSummary(
        merge_key=merge.task.key,
        category=merge.task.category,
        task=merge.task.task,
        state=status.state,
        step=step,
        total_steps=total_steps,
        figures=dict(figures),
        reason=status.reason,
        version_number=status.version_number,
    )
