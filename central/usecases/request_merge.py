"""A site says that its teacher net is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.merge.situation import CompleteTeacher
from central.registry.audit_book import Action, actor_of
from central.usecases.ask_probes import refuse_founding_by_answers
from central.usecases.decide_claim import note_claim
from central.usecases.plan_merges import plan_merges
from central.usecases.read_merges import speaking_merges, summary_of
from central.usecases.retry_merge import ask_again, try_again
from transplant.artifact.manifest import parse_manifest
from transplant.errors import AdmissionPending, MergeNotPossible, NotAllowed, NotFound
from transplant.types import ModuleKind, Role

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from central.registry.registry import Books
    from central.registry.values import RegisteredModule
    from central.usecases.center import Center
    from transplant.types import Identity, MergeSummary, Task

_MOST_TASKS = 16


def request_merge(
    center: Center,
    caller: Identity,
    category_module: str,
    task_modules: Sequence[str],
    *,
    answers: Sequence[str] = (),
    statistics: str | None = None,
    retry: bool = False,
) -> tuple[str, tuple[MergeSummary, ...]]:
    """Record a complete teacher, plan its merges, and return its id and for each task the one that counts.

    Asking again is harmless: it returns the same merges, or those that followed on a refusal. A site that
    did not answer a candidate in time is asked for its verdict once more, for it is there now. A newer
    teacher of the site is planned beside what is published of the older one. A teacher of a category that
    another site holds is kept, and waits for the operator.

    Args:
        center: ports and policy.
        caller: who asks.
        category_module: id of f.
        task_modules: ids of the task modules that were shipped.
        answers: ids of answers, for the tasks whose module stays at the site.
        statistics: id of what the site disclosed about f's features, if it did.
        retry: whether merges that failed are tried once more. Sites ask again and again, so a failure that
            repeats itself must not be tried for the asking alone.

    Raises:
        NotFound: if a module is not registered, or is not the caller's.
        AdmissionPending: if one was received and is not admitted yet.
        MergeNotPossible: if the modules are not one category module and what belongs to it, or a founder
            does not ship its modules.
        RegistryConflict: if the teacher has another module or other answers for one of the tasks.
    """
    with center.registry.write() as books:
        teacher = _teacher(books, caller, category_module, (*task_modules, *answers), statistics)
        if teacher.answers:
            refuse_founding_by_answers(center, books, teacher.category, teacher.site)
        news = books.teachers.add(teacher, center.clock.now())
        if news:
            told = {"answers": teacher.answers, "statistics": teacher.statistics}
            books.audit.append(
                actor_of(caller),
                Action.TEACHER_COMPLETED,
                teacher.teacher_id,
                task_modules=teacher.task_modules,
                **told,
            )
            note_claim(center, books, teacher, actor_of(caller))
        known = books.merges.list(teacher_id=teacher.teacher_id)
        if retry:
            try_again(center, books, known, actor_of(caller))
        ask_again(center, books, known, actor_of(caller))
        if news:  # what becomes possible without the site's doing, the merge loop plans
            plan_merges(center, books)
        merges = speaking_merges(books.merges.list(teacher_id=teacher.teacher_id))
    center.bell.ring()
    return teacher.teacher_id, tuple(summary_of(center, merge) for merge in merges)


def _teacher(
    books: Books,
    caller: Identity,
    category_module: str,
    module_ids: Sequence[str],
    statistics: str | None,
) -> CompleteTeacher:
    if not 0 < len(module_ids) <= _MOST_TASKS:
        raise MergeNotPossible(
            f"a teacher net has 1 to {_MOST_TASKS} task modules or answers, not {len(module_ids)}"
        )
    lower = _own(books, caller, category_module)
    if lower.kind is not ModuleKind.CATEGORY:
        raise MergeNotPossible(f"{category_module[:12]} is not a category module")
    uppers: dict[Task, RegisteredModule] = {}
    for module_id in module_ids:
        upper = _own(books, caller, module_id)
        if upper.task is None or category_module not in parse_manifest(upper.manifest).parents:
            raise MergeNotPossible(f"{module_id[:12]} is not a task module trained on {category_module[:12]}")
        if uppers.setdefault(upper.task, upper).module_id != module_id:
            raise MergeNotPossible(f"two {upper.task.value} modules in one teacher net")
    if statistics is not None:
        _check_statistics(_own(books, caller, statistics), category_module)
    return CompleteTeacher(
        teacher_id=category_module,
        site=lower.site,
        category=lower.category,
        category_module=category_module,
        task_modules=_of_kind(uppers, ModuleKind.TASK),
        answers=_of_kind(uppers, ModuleKind.ANSWERS),
        statistics=statistics,
    )


def _of_kind(uppers: Mapping[Task, RegisteredModule], kind: ModuleKind) -> tuple[tuple[Task, str], ...]:
    return tuple(sorted((task, upper.module_id) for task, upper in uppers.items() if upper.kind is kind))


def _check_statistics(told: RegisteredModule, category_module: str) -> None:
    if told.kind is not ModuleKind.STATISTICS or category_module not in parse_manifest(told.manifest).parents:
        raise MergeNotPossible(
            f"{told.module_id[:12]} are no statistics of the features of {category_module[:12]}"
        )


def _own(books: Books, caller: Identity, module_id: str) -> RegisteredModule:
    upload = books.uploads.get(module_id)
    if upload is not None and upload.received_at is not None and upload.site == caller.name:
        raise AdmissionPending(f"module {module_id[:12]} is received and not admitted yet: ask again")
    module = books.modules.get(module_id)
    if caller.role is not Role.OPERATOR and module.site != caller.name:
        raise NotFound(f"no module {module_id[:80]}")
    if module.kind is ModuleKind.ADAPTER:
        raise NotAllowed("adapters belong to the center")
    return module
