"""What `plan` prints: a JSON document of what would be done, and rich tables of the same content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from central.merge.learners import layers_of
from central.merge.plan import plan
from central.merge.situation import PlannedTask
from central.report import waiting_document
from central.usecases.situation import situation_of
from transplant.types import MergeState

if TYPE_CHECKING:
    from central.merge.situation import PlanPolicy
    from central.registry.registry import Books
    from central.registry.values import StoredMerge


def plan_document(books: Books, policy: PlanPolicy) -> dict[str, Any]:
    """Return what would be planned now, what is planned and has not begun, and what waits for somebody."""
    found = plan(situation_of(books), policy)
    open_ones = books.merges.list(open_only=True)
    return {
        "tasks": [_task(planned) for planned in found.tasks],
        "queued": [_queued(merge) for merge in open_ones if merge.status.state is MergeState.PLANNED],
        "under_way": sum(merge.status.state is not MergeState.PLANNED for merge in open_ones),
        "waiting": [waiting_document(each) for each in found.waiting],
    }


def plan_tables(document: dict[str, Any]) -> list[Any]:
    """Return the same as tables."""
    names = (
        "category",
        "task",
        "what",
        "into",
        "layers",
        "supervised by",
        "validated by",
        "replaces",
        "merge",
    )
    tables: list[Any] = []
    for title, rows in (("Would be planned now", "tasks"), ("Planned, not begun", "queued")):
        table = Table(*names, title=title)
        for row in document[rows]:
            words = (
                row["category"],
                row["task"],
                f"{row['kind']}: {row['refusal']}" if row["refusal"] else row["kind"],
                row["host"] or "-",
                str(row["layers"] or "-"),
                row["supervised_by"] or "-",
                row["site"],
                row["replaces"][:12] or "-",
                row["merge_key"][:12],
            )
            table.add_row(*map(Text, words))
        if document[rows]:
            tables.append(table)
    waiting = Table("site", "category", "task", "standing", "why", title="Waiting")
    for row in document["waiting"]:
        words = (row["site"], row["category"], row["task"], row["standing"], row["reason"])
        waiting.add_row(*map(Text, words))
    tables += [waiting] if document["waiting"] else []
    told = f"{len(document['tasks'])} merges would be planned, {len(document['queued'])} are planned and "
    return [*tables, told + f"{document['under_way']} under way."]


def _task(planned: PlannedTask) -> dict[str, Any]:
    task = planned.task
    kind = "replace" if planned.replaces else "learn"
    if task.identity:
        kind = "bring"
    elif task.supervised_by is not None:
        kind = "supervise"
    if planned.refusal:
        kind = "refuse"
    return {
        "merge_key": task.key,
        "teacher": planned.teacher_id,
        "category": task.category,
        "task": task.task.value,
        "site": task.site,
        "kind": kind,
        "host": None if task.host is None else task.host.category,
        "host_task_module": None if task.host is None else task.host.task_module,
        "layers": None if task.host is None else layers_of(task.settings),
        "learner": task.settings,
        "supervised_by": "" if task.supervised_by is None else task.supervised_by.category,
        "replaces": planned.replaces,
        "refusal": planned.refusal,
    }


def _queued(merge: StoredMerge) -> dict[str, Any]:
    return _task(PlannedTask(merge.teacher_id, merge.task)) | {"refusal": "", "reason": merge.status.reason}
