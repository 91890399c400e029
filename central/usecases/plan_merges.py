"""Ask the planner what can be merged now, and record it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.merge.events import LearningFailed
from central.merge.plan import KnownMerge, Situation, plan
from central.registry.audit_book import CENTRAL, Action
from central.registry.events_book import MERGE_MOVED
from central.usecases.move_merge import move_merge
from transplant.artifact.manifest import parse_manifest
from transplant.types import MergeState

if TYPE_CHECKING:
    from central.registry.registry import Books
    from central.usecases.center import Center
    from transplant.types import Seam


def plan_merges(center: Center, books: Books) -> int:
    """Add every merge that has become possible; return how many. Calling it again adds nothing."""
    added = 0
    for planned in plan(situation_of(books), center.policy.plan):
        now = center.clock.now()
        books.merges.add(planned, now)
        books.audit.append(CENTRAL, Action.MERGE_PLANNED, planned.task.key, teacher=planned.teacher_id)
        books.events.add(
            MERGE_MOVED,
            planned.task.key,
            now,
            category=planned.task.category,
            detail=MergeState.PLANNED.value,
        )
        if planned.refusal:
            move_merge(center, books, planned.task.key, LearningFailed(planned.refusal))
        added += 1
    return added


def situation_of(books: Books) -> Situation:
    """Return all that the planner looks at."""
    version = books.versions.newest()
    routes = () if version is None else version.routes
    teachers = books.teachers.all()
    merges = tuple(
        KnownMerge(
            merge.teacher_id, merge.task.category, merge.task.task, merge.task.identity, merge.status.ended
        )
        for merge in books.merges.list()
    )
    category_modules = {teacher.category_module for teacher in teachers}
    category_modules |= {route.category_module for route in routes}
    seams = {module_id: _seam(books, module_id) for module_id in category_modules}
    return Situation(teachers, routes, merges, seams)


def _seam(books: Books, module_id: str) -> Seam:
    return parse_manifest(books.modules.get(module_id).manifest).seam.to_type()
