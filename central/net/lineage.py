"""Where a route comes from, as one document: everything is in the registry, nothing is asked of a site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography import x509

from central.merge.learners import layers_of
from central.merge.verdicts import verdict_of
from transplant.artifact.manifest import parse_manifest
from transplant.artifact.net_document import net_digest
from transplant.errors import NotFound, SignatureInvalid
from transplant.rpc.verdict_signature import check_signature
from transplant.types import ModuleKind

if TYPE_CHECKING:
    from central.merge.tasks import MergeTask
    from central.registry.registry import Books
    from central.registry.values import StoredMerge, StoredVerdict
    from transplant.types import NetVersion, Route, Task


def lineage_document(books: Books, category: str, task: Task, number: int = 0) -> dict[str, Any]:
    """Return everything about a route of a version (0: the newest) as plain values.

    Raises:
        NotFound: if there is no such version, or it has no such route.
    """
    version = books.versions.get(number)
    route = _route(books, version, category, task)
    merge = books.merges.get(route.merge_key)
    modules = [_module(books, role, module_id) for role, module_id in _modules(route, merge.task).items()]
    from_sites = [each for each in modules if each["kind"] != ModuleKind.ADAPTER.value]
    return {
        "category": category,
        "task": task.value,
        "version": {
            "number": version.number,
            "digest": net_digest(version),
            "published_at": books.versions.published_at(version.number).isoformat(),
        },
        "route": {
            "category_module": route.category_module,
            "adapter": route.adapter,
            "task_module": route.task_module,
            "supervised_by": route.supervised_by,
        },
        "sites": sorted({each["site"] for each in from_sites}),
        "disclosures": sorted({each["disclosure"] for each in from_sites}),
        "merge": _merge(books, merge),
        "modules": modules,
        "gates": _gates(books, merge),
        "approved_by": _approvals(books, merge),
        "history": _history(books, merge),
        "attempts": [
            _attempt(each)
            for each in books.merges.list(category)
            if each.task.task == task and each.task.key != route.merge_key
        ],
    }


def _route(books: Books, version: NetVersion, category: str, task: Task) -> Route:
    for route in version.routes:
        if (route.category, route.task) == (category, task):
            return route
    had = [
        each.number
        for each in books.versions.after(0)
        if any((route.category, route.task) == (category, task) for route in each.routes)
    ]
    others = f"; the versions {', '.join(map(str, had))} have" if had else ""
    raise NotFound(f"version {version.number} has no route {category[:80]}/{task.value}{others}")


def _modules(route: Route, task: MergeTask) -> dict[str, str]:
    """Return role -> id of every module that the route goes through or was learned from."""
    host, supervisor = task.host, task.supervised_by
    found = {
        "category module": route.category_module,
        "adapter": route.adapter,
        "task module": route.task_module,
        "teacher's task module": task.teacher_task_module,
        "host's category module": None if host is None else host.category_module,
        "supervisor's category module": None if supervisor is None else supervisor.category_module,
        "statistics": task.statistics,
        "answers": task.answers,
    }
    seen: dict[str, str] = {}
    for role, module_id in found.items():
        if module_id is not None and module_id not in seen.values():
            seen[role] = module_id
    return seen


def _module(books: Books, role: str, module_id: str) -> dict[str, Any]:
    manifest = parse_manifest(books.modules.get(module_id).manifest)
    admission = books.admissions.of(module_id)
    training = manifest.training
    return {
        "role": role,
        "module_id": module_id,
        "kind": manifest.kind.value,
        "site": manifest.site,
        "category": manifest.category,
        "architecture": manifest.architecture.id,
        "payload_sha256": manifest.payload_sha256,
        "samples": training.sample_count,
        "raw_bytes": training.raw_bytes,
        "seed": training.seed,
        "epochs": training.epochs,
        "disclosure": manifest.statistics.level.value,
        "disclosed_of_samples": manifest.statistics.sample_count,
        "metrics": dict(manifest.metrics),
        "libraries": dict(manifest.libraries),
        "parents": list(manifest.parents),
        "admitted_at": None if admission is None else admission.at.isoformat(),
    }


def _merge(books: Books, merge: StoredMerge) -> dict[str, Any]:
    task = merge.task
    return _attempt(merge) | {
        "refinement": task.refinement_record or None,
        "seed": task.seed,
        "learner": task.settings,
        "public_images": task.proxy,
        "steps": [
            {"event": each.event, "to": each.to_state, "reason": each.reason, "at": each.at.isoformat()}
            for each in books.merges.transitions(task.key)
        ],
    }


def _attempt(merge: StoredMerge) -> dict[str, Any]:
    task, status = merge.task, merge.status
    return {
        "merge_key": task.key,
        "teacher": merge.teacher_id,
        "host": None if task.host is None else task.host.category,
        "layers": 0 if task.host is None else layers_of(task.settings),
        "supervised_by": "" if task.supervised_by is None else task.supervised_by.category,
        "validated_by": task.site,
        "state": status.state.value,
        "reason": status.reason,
        "figures": dict(status.figures),
    }


def _gates(books: Books, merge: StoredMerge) -> dict[str, Any]:
    first = books.versions.first_number(merge.task.key)
    proof = books.versions.proof(first)
    verdict = books.merges.verdict(merge.task.key)
    return {
        "agreement": merge.status.figures.get("agreement"),
        "verdict": None if verdict is None else _verdict(merge, verdict),
        "unchanged": {
            "version": first,
            "compared": len(proof),
            "equal": sum(each.before_sha256 == each.after_sha256 for each in proof),
        },
    }


def _verdict(merge: StoredMerge, verdict: StoredVerdict) -> dict[str, Any]:
    signed = verdict.signed
    about: dict[str, Any] = {
        "site": verdict.site,
        "closed": verdict.closed,
        "figures": dict(verdict.figures),
        "reported_at": verdict.reported_at.isoformat(),
        "signature": "missing",
        "certificate": None,
    }
    if signed is None:
        return about
    about["certificate"] = format(x509.load_pem_x509_certificate(signed.certificate).serial_number, "x")
    try:
        told = verdict_of(merge.task.key, verdict.figures)
        check_signature(told, verdict.site, signed.signature, signed.certificate)
    except SignatureInvalid:
        return about | {"signature": "invalid"}
    return about | {"signature": "valid"}


def _approvals(books: Books, merge: StoredMerge) -> list[dict[str, str]]:
    """Return who let the route in: its site (by a verdict, or its very teacher), a policy, an operator."""
    verdict, found = books.merges.verdict(merge.task.key), list[dict[str, str]]()
    if merge.task.identity:
        found.append({"who": f"site {merge.task.site}", "by": "its own teacher is the route"})
    elif verdict is not None:
        by = f"verdict of {verdict.reported_at:%Y-%m-%d %H:%M} UTC"
        found.append({"who": f"site {verdict.site}", "by": by if verdict.signed else f"{by}, unsigned"})
    else:
        found.append({"who": "the operator's policy", "by": merge.status.reason})
    holder = books.claims.holders().get(merge.task.category)
    if holder == books.modules.get(merge.task.teacher_category_module).site:
        found.append({"who": "the operator", "by": f"gave the category to site {holder}"})
    return found


def _history(books: Books, merge: StoredMerge) -> list[dict[str, Any]]:
    key = merge.task.key
    came = [{"version": books.versions.first_number(key), "what": "published"}]
    return came + [
        {"version": number, "what": "returned" if present else "left"}
        for number, present in books.versions.changes(key)
    ]
