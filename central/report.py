"""What `status` and `net show` print: a JSON document, and rich tables of the same content."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.table import Table

from central.merge.plan import plan
from central.merge.situation import CLAIM_COMMAND, PlanPolicy, Standing
from central.merge.verdicts import DECIDING_MEASURE
from central.merge.workshop import Workshop
from central.usecases.decide_claim import claims_of
from central.usecases.situation import situation_of
from transplant.artifact.net_document import net_digest
from transplant.types import MergeState, Task

if TYPE_CHECKING:
    from pathlib import Path

    from central.merge.situation import Waiting
    from central.registry.registry import Books
    from central.registry.values import StoredMerge

_STATE_STYLE = {
    MergeState.PUBLISHED.value: "green",
    MergeState.REJECTED.value: "red",
    MergeState.FAILED.value: "red",
    MergeState.CANCELLED.value: "yellow",
}


def status_document(
    books: Books, home: Path, *, serving: bool, policy: PlanPolicy | None = None
) -> dict[str, Any]:
    """Return everything about a center as plain values; `policy` decides what still can be planned."""
    workshop = Workshop(home / "merges")
    newest = books.versions.newest()
    modules = books.modules.list()
    return {
        "serving": _address(home) if serving else None,
        "version": 0 if newest is None else newest.number,
        "modules": len(modules),
        "stored_bytes": sum({m.payload_sha256: m.payload_bytes for m in modules}.values()),
        "sites": [
            {
                "site": site,
                "categories": list(categories),
                "modules": (use := books.uploads.use_of(site)).modules,
                "bytes": use.registered_bytes,
                "open_uploads": use.open_uploads,
            }
            for site, categories in books.sites.all().items()
        ],
        "teachers_waiting": [
            f"{teacher.site}/{teacher.category}"
            for teacher in books.teachers.all()
            if not books.merges.list(teacher_id=teacher.teacher_id)
        ],
        "tasks_waiting": [
            waiting_document(each) for each in plan(situation_of(books), policy or PlanPolicy()).waiting
        ],
        "contested": [
            {"category": claim.category, "sites": list(claim.sites), "holder": claim.holder}
            for claim in claims_of(books)
            if not claim.decided
        ],
        "merges": [_merge(merge, workshop) for merge in books.merges.list()],
    }


def status_tables(document: dict[str, Any]) -> list[Any]:
    """Return the same as tables."""
    state = f"serving on {document['serving']}" if document["serving"] else "not serving"
    head = f"[bold]{state}[/], version {document['version']}, {document['modules']} modules, "
    sites = Table("site", "categories", "modules", "MB", "open uploads", title="Sites")
    for row in document["sites"]:
        sites.add_row(
            row["site"],
            ", ".join(row["categories"]),
            str(row["modules"]),
            f"{row['bytes'] / 1e6:.1f}",
            str(row["open_uploads"]),
        )
    merges = Table("merge", "category", "task", "state", "step", "agree %", "closed %", "why", title="Merges")
    for row in document["merges"]:
        style = _STATE_STYLE.get(row["state"], "cyan")
        merges.add_row(
            row["merge_key"][:12],
            row["category"],
            row["task"] + (f" (by {row['supervised_by']})" if row["supervised_by"] else ""),
            f"[{style}]{row['state']}[/]",
            f"{row['step']}/{row['total_steps']}" if row["total_steps"] else "-",
            _percent(row["figures"].get("agreement")),
            _percent(row["figures"].get("closed")),
            row["reason"],
        )
    lines: list[Any] = [head + f"{document['stored_bytes'] / 1e6:.1f} MB", sites, merges]
    if document["teachers_waiting"]:
        lines.append(
            f"complete teachers that wait for the founding: {', '.join(document['teachers_waiting'])}"
        )
    lines += [
        f"{row['category']} is claimed by {', '.join(row['sites'])}; {row['holder']} was first: "
        f"`{CLAIM_COMMAND} {row['category']} --site NAME` decides"
        for row in document["contested"]
    ]
    lines += [
        f"{row['category']}/{row['task']} of {row['site']} waits ({row['standing']}): {row['reason']}"
        for row in document["tasks_waiting"]
        if row["standing"] != Standing.CONTESTED.value  # told above, once for all tasks
    ]
    return lines


def waiting_document(waiting: Waiting) -> dict[str, Any]:
    """Return a task that nothing is planned for as plain values."""
    return {
        "site": waiting.site,
        "category": waiting.category,
        "task": waiting.task.value,
        "standing": waiting.standing.value,
        "reason": waiting.reason,
        "supervised": waiting.supervised,
    }


def net_document_of(books: Books, number: int) -> dict[str, Any]:
    """Return a version as plain values, with the figures of each route and the proof of its publication.

    Raises:
        NotFound: if there is no such version.
    """
    version = books.versions.get(number)
    routes: list[dict[str, Any]] = []
    for route in version.routes:
        merge = books.merges.get(route.merge_key)
        routes.append(
            {
                "category": route.category,
                "task": route.task.value,
                "category_module": route.category_module,
                "adapter": route.adapter,
                "task_module": route.task_module,
                "merge_key": route.merge_key,
                "since_version": merge.status.version_number,
                "supervised_by": route.supervised_by,
                "figures": merge.status.figures,
            }
        )
    proof = books.versions.proof(version.number)
    return {
        "number": version.number,
        "digest": net_digest(version),
        "parent_digest": version.parent_digest,
        "routes": routes,
        "unchanged": {
            "compared": len(proof),
            "equal": sum(entry.before_sha256 == entry.after_sha256 for entry in proof),
        },
    }


def net_tables(document: dict[str, Any]) -> list[Any]:
    """Return the same as tables."""
    title = f"Transplant net, version {document['number']} ({document['digest'][:12]})"
    table = Table("category", "task", "f", "h", "g_S", "since", "teacher -> transplanted", title=title)
    for row in document["routes"]:
        measure = DECIDING_MEASURE[Task(row["task"])]
        teacher = row["figures"].get(f"teacher.{measure}")
        transplanted = row["figures"].get(f"transplanted.{measure}")
        told = f"{measure} {_percent(teacher)} -> {_percent(transplanted)}" if teacher is not None else "-"
        taught = f" (supervised by {row['supervised_by']})" if row["supervised_by"] else ""
        table.add_row(
            row["category"],
            row["task"] + taught,
            row["category_module"][:8],
            row["adapter"][:8] if row["adapter"] else "identity",
            row["task_module"][:8],
            f"v{row['since_version']}",
            told,
        )
    unchanged = document["unchanged"]
    line = (
        f"Published with {unchanged['compared']} comparisons of kept modules and routes, "
        f"{unchanged['equal']} of them bit-identical."
    )
    return [table, line]


def _merge(merge: StoredMerge, workshop: Workshop) -> dict[str, Any]:
    progress = workshop.bench(merge.task.key).progress()
    return {
        "merge_key": merge.task.key,
        "site": merge.task.site,
        "category": merge.task.category,
        "task": merge.task.task.value,
        "state": merge.status.state.value,
        "identity": merge.task.identity,
        "host": None if merge.task.host is None else merge.task.host.category,
        "supervised_by": "" if merge.task.supervised_by is None else merge.task.supervised_by.category,
        "step": progress.step,
        "total_steps": progress.total_steps,
        "attempts": merge.status.attempts,
        "figures": merge.status.figures,
        "reason": merge.status.reason,
        "version_number": merge.status.version_number,
    }


def _address(home: Path) -> str:
    try:
        return str(json.loads((home / "serve.json").read_bytes())["address"])
    except (FileNotFoundError, ValueError, KeyError):
        return "an address not known yet"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
