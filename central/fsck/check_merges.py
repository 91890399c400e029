"""Merges: task documents against keys, states against recorded steps, publications against routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from central.fsck.finding import Finding
from central.merge.tasks import task_from_document
from transplant.artifact.digest import sha256_hex
from transplant.types import MergeState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from central.fsck.tables import Rows, Tables
    from central.merge.tasks import MergeTask

_PUBLISHED = MergeState.PUBLISHED.value
_WITH_ADAPTER = {MergeState.CANDIDATE.value, MergeState.VALIDATING.value, _PUBLISHED}


def check_merges(tables: Tables) -> Iterator[Finding]:
    """Check every merge."""
    modules = tables.by("modules", "module_id")
    routed = {row["merge_key"] for row in tables["routes"]}
    steps: dict[str, Rows] = {}
    for row in tables["merge_transitions"]:
        steps.setdefault(row["merge_key"], []).append(row)
    for row in tables["merges"]:
        key, where = row["merge_key"], f"merge {row['merge_key']}"
        task = task_of(row)
        if task is None:
            yield Finding("merge-task", where, "its document has another digest, or is none")
        else:
            yield from _check_columns(where, row, task)
            for module_id in _modules_of(task):
                if module_id not in modules:
                    yield Finding("merge-module-missing", where, f"module {module_id}")
        yield from _check_steps(where, row, steps.get(key, []))
        if row["state"] == _PUBLISHED and key not in routed:
            yield Finding("merge-without-route", where, f"it says version {row['version_number']}")


def task_of(row: dict[str, Any]) -> MergeTask | None:
    """Return the task of a merge's row, or None where the document is not the one of its key."""
    if sha256_hex(row["task_document"]) != row["merge_key"]:
        return None
    try:
        return task_from_document(row["task_document"])
    except (ValueError, KeyError, TypeError):
        return None


def _check_columns(where: str, row: dict[str, Any], task: MergeTask) -> Iterator[Finding]:
    wanted = {
        "site": task.site,
        "category": task.category,
        "task": task.task.value,
        "identity": task.identity,
        "teacher_id": task.teacher_category_module,
        "supervised_by": None if task.supervised_by is None else task.supervised_by.category,
    }
    wrong = [f"{name} is {row[name]!r}" for name, value in wanted.items() if row[name] != value]
    if wrong:
        yield Finding("merge-columns", where, "; ".join(wrong))


def _modules_of(task: MergeTask) -> tuple[str, ...]:
    host = task.host
    ids = (
        task.teacher_category_module,
        task.teacher_task_module,
        None if host is None else host.category_module,
        None if host is None else host.task_module,
        task.statistics,
        task.answers,
        None if task.supervised_by is None else task.supervised_by.category_module,
    )
    return tuple(dict.fromkeys(each for each in ids if each is not None))


def _check_steps(where: str, row: dict[str, Any], steps: Rows) -> Iterator[Finding]:
    """A merge's steps are a chain that begins at `planned` and ends where the row says."""
    state = MergeState.PLANNED.value
    for step in steps:
        if step["from_state"] != state:
            number, start = step["transition_id"], step["from_state"]
            told = f"step {number} starts at {start!r}, the one before ended at {state!r}"
            yield Finding("merge-history", where, told)
            break
        state = step["to_state"]
    else:
        if not steps:
            yield Finding("merge-history", where, "not one step is recorded")
        elif state != row["state"]:
            yield Finding("merge-history", where, f"its steps lead to {state!r}, and it is {row['state']!r}")
        elif not row["identity"] and row["adapter"] is None and state in _WITH_ADAPTER:
            yield Finding("merge-history", where, f"it is {state!r} without an adapter")
    published = [step for step in steps if step["event"] == "VersionPublished"]
    if len(published) > 1:
        yield Finding("merge-published-twice", where, f"{len(published)} steps publish it")
