"""Entries for tests of the registry: small, real, and as the use cases would make them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from central.merge.situation import CompleteTeacher, PlannedTask
from central.merge.tasks import MergeTask
from central.registry.values import DeclaredUpload
from fakes.artifacts import sealed
from transplant.types import ModuleKind, NetVersion, Route, Task

if TYPE_CHECKING:
    from central.registry.registry import Books
    from central.registry.values import StoredMerge

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def add_merge(books: Books, category: str = "dog", task: Task = Task.CLASSIFICATION) -> StoredMerge:
    """Register a teacher with one task and plan its identity merge."""
    f, _ = sealed(seed=1, category=category)
    g, _ = sealed(ModuleKind.TASK, task, seed=2, parents=(f.module_id,), category=category)
    for manifest in (f, g):
        books.modules.add(manifest, NOW)
    teacher = CompleteTeacher(f.module_id, f.site, category, f.module_id, ((task, g.module_id),))
    books.teachers.add(teacher, NOW)
    planned = MergeTask(category, task, f.site, f.module_id, g.module_id, None)
    return books.merges.add(PlannedTask(teacher.teacher_id, planned), NOW)


def version_of(
    merge: StoredMerge, number: int = 1, parent: str | None = None, old: tuple[Route, ...] = ()
) -> NetVersion:
    """Return a version that adds the route of an identity merge to the `old` ones."""
    task = merge.task
    route = Route(
        task.category, task.task, task.teacher_category_module, None, str(task.teacher_task_module), task.key
    )
    return NetVersion(number, parent, (*old, route))


def upload_of(upload_id: str = "a" * 64, site: str = "site-a", payload_bytes: int = 1000) -> DeclaredUpload:
    """Return an upload that a site has just declared."""
    return DeclaredUpload(upload_id, site, "b" * 64, payload_bytes, b"\x00manifest\xff", NOW)
