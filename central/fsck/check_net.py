"""Versions of the net: every digest is rebuilt from the routes, every publication's proof is read again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from central.fsck.check_merges import task_of
from central.fsck.finding import Finding
from central.registry.events_book import VERSION_PUBLISHED
from transplant.artifact.net_document import net_digest
from transplant.types import MergeState, NetVersion, Route, Task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from central.fsck.tables import Tables


def check_versions(tables: Tables) -> Iterator[Finding]:
    """Check numbers, digests, parents and news of every version."""
    rows = tables.by("versions", "number")
    last = max(rows, default=0)
    for number in range(1, last + 1):
        if number not in rows:
            yield Finding("version-gap", f"version {number}", f"the newest one is {last}")
    brought = {row["version_number"] for row in (*tables["routes"], *tables["route_changes"])}
    digests = _rebuilt(tables, last)
    if digests is None:
        yield Finding("table-unreadable", "routes", "a route has a task that this release does not know")
        return
    for number, row in rows.items():
        if number not in brought:
            yield Finding("version-empty", f"version {number}")
        told = tables.told
        times = told[VERSION_PUBLISHED, row["digest"]] or told[VERSION_PUBLISHED, digests[number]]
        if times != 1:
            yield Finding("version-event", f"version {number}", f"told {times} times")
    wrong = [number for number, row in rows.items() if row["digest"] != digests[number]]
    # Every version names the digest of the one before it. Where one and all after it differ, its routes
    # changed; where only one differs, its own row did.
    since = wrong[0] if wrong and wrong == [number for number in rows if number >= wrong[0]] else last + 1
    for number in wrong:
        if number <= since:
            later = f", and so do all after it (up to {last})" if number == since < last else ""
            yield Finding("version-digest", f"version {number}", f"its routes give {digests[number]}{later}")
    for number, row in rows.items():
        if number <= since and row["parent_digest"] != digests.get(number - 1):
            yield Finding("version-parent", f"version {number}", f"it names {row['parent_digest']}")


def check_routes(tables: Tables) -> Iterator[Finding]:
    """Check every route against the merge that made it, and that none is there twice."""
    merges = tables.by("merges", "merge_key")
    yield from _check_twice(tables)
    probed = {row["merge_key"] for row in tables["probe_digests"]}
    for row in tables["routes"]:
        where = f"route {row['category']}/{row['task']} of merge {row['merge_key']}"
        if row["merge_key"] not in probed:
            yield Finding("probe-digest-missing", where)
        merge = merges.get(row["merge_key"])
        wrong = [] if merge is None else _differences(row, merge)
        if wrong:
            yield Finding("route-merge", where, "; ".join(wrong))


def _check_twice(tables: Tables) -> Iterator[Finding]:
    """Check that no version answers one category and task by two routes: a replaced one has left."""
    told: set[tuple[str, str]] = set()
    for number in sorted(tables.by("versions", "number")):
        places = Counter((row["category"], row["task"]) for row in _rows_of(tables, number))
        for (category, task), count in places.items():
            if count > 1 and (category, task) not in told:
                told.add((category, task))
                yield Finding(
                    "route-twice", f"route {category}/{task}", f"{count} routes in version {number}"
                )


def check_proofs(tables: Tables) -> Iterator[Finding]:
    """Check that each publication compared everything that it kept, and found it equal."""
    payloads = {f"module {row['module_id']}": row["payload_sha256"] for row in tables["modules"]}
    compared: dict[int, set[str]] = {}
    for row in tables["forgetting_checks"]:
        subject = row["subject"]
        compared.setdefault(row["version_number"], set()).add(subject)
        before, after = row["before_sha256"], row["after_sha256"]
        if before != after or payloads.get(subject, before) != before:
            where = f"version {row['version_number']}, {subject}"
            yield Finding("proof-unequal", where, f"{before} before, {after} after")
    before: list[dict[str, Any]] = []
    for number in sorted(tables.by("versions", "number")):
        now = _rows_of(tables, number)
        keys = {row["merge_key"] for row in now}
        kept = [row for row in before if row["merge_key"] in keys]
        before = now
        wanted = {f"route {row['category']}/{row['task']}" for row in kept}
        wanted |= {f"module {row[column]}" for row in kept for column in _MODULES if row[column]}
        missing = sorted(wanted - compared.get(number, set()))
        if missing:
            told = f"{len(missing)} of {len(wanted)} comparisons, among them {missing[0]}"
            yield Finding("proof-missing", f"version {number}", told)


_MODULES = ("category_module", "adapter", "task_module")


def rebuilt_version(tables: Tables, number: int, parent_digest: str | None) -> NetVersion:
    """Return a version as its routes, and what became of them, say.

    Raises:
        ValueError: if a route has a task that this release does not know.
    """
    return NetVersion(number, parent_digest, tuple(map(_route, _rows_of(tables, number))))


def every_route(tables: Tables) -> tuple[Route, ...]:
    """Return the routes of all versions, those that have left included.

    Raises:
        ValueError: if one has a task that this release does not know.
    """
    return tuple(map(_route, tables["routes"]))


def _route(row: dict[str, Any]) -> Route:
    return Route(
        category=row["category"],
        task=Task(row["task"]),
        category_module=row["category_module"],
        adapter=row["adapter"],
        task_module=row["task_module"],
        merge_key=row["merge_key"],
        supervised_by=row["supervised_by"] or "",
    )


def _rows_of(tables: Tables, number: int) -> list[dict[str, Any]]:
    """Return the routes of a version in their order."""
    changes = [row for row in tables["route_changes"] if row["version_number"] <= number]
    present = {row["merge_key"]: row["present"] for row in changes}  # the rows are in the order of versions
    routes = sorted(tables["routes"], key=lambda row: row["position"])
    return [row for row in routes if row["version_number"] <= number and present.get(row["merge_key"], True)]


def _rebuilt(tables: Tables, last: int) -> dict[int, str] | None:
    digests: dict[int, str] = {}
    for number in range(1, last + 1):
        try:
            digests[number] = net_digest(rebuilt_version(tables, number, digests.get(number - 1)))
        except ValueError:
            return None
    return digests


def _differences(route: dict[str, Any], merge: dict[str, Any]) -> list[str]:
    wanted: dict[str, object] = {"version_number": merge["version_number"], "adapter": merge["adapter"]}
    task = task_of(merge)
    if task is not None:
        host = task.teacher_task_module if task.host is None else task.host.task_module
        wanted |= {"category": task.category, "task": task.task.value, "task_module": host}
        wanted["supervised_by"] = None if task.supervised_by is None else task.supervised_by.category
        wanted["category_module"] = task.teacher_category_module
    wrong = [f"{name} is {route[name]!r}" for name, value in wanted.items() if route[name] != value]
    if merge["state"] != MergeState.PUBLISHED.value:
        wrong.append(f"its merge is {merge['state']!r}")
    return wrong
