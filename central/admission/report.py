"""What `transplant-central modules` prints: every module with its verdict, near copies, outliers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from central.admission.likeness import Specimen, near_copies, outliers
from central.registry.values import AdmissionVerdict

if TYPE_CHECKING:
    from rich.console import RenderableType

    from central.registry.registry import Books
    from central.registry.values import Admission, DeclaredUpload, RegisteredModule

_STYLE = {"registered": "green", "rejected": "red", "received": "cyan", "recalled": "yellow"}


def modules_document(books: Books) -> dict[str, Any]:
    """Return registered, received and rejected modules as plain values, and what stands out among them."""
    registered = books.modules.list()
    verdicts = {admission.module_id: admission for admission in books.admissions.newest()}
    specimens = [
        Specimen(module.module_id, module.site, _group(module), verdict.figures, verdict.fingerprint)
        for module in registered
        if (verdict := verdicts.get(module.module_id)) is not None
    ]
    here = {module.module_id for module in registered}
    refused = [each for each in verdicts.values() if each.module_id not in here]
    return {
        "modules": [
            *(_registered(module, verdicts.get(module.module_id)) for module in registered),
            *(_received(upload) for upload in books.uploads.received()),
            *(_refused(admission) for admission in refused),
        ],
        "near_copies": [
            {"earlier": pair.earlier, "later": pair.later, "cosine": round(pair.cosine, 4)}
            for pair in near_copies(specimens)
        ],
        "outliers": [
            {
                "module": each.module_id,
                "figure": each.figure,
                "value": 10**each.value,
                "median": 10**each.median,
                "z_score": round(each.z_score, 2),
            }
            for each in outliers(specimens)
        ],
    }


def modules_tables(document: dict[str, Any]) -> list[RenderableType]:
    """Return the same as tables."""
    modules = Table("module", "site", "what", "MB", "verdict", "seconds", "why", title="Modules")
    for row in document["modules"]:
        verdict = row["verdict"]
        why = f"{row['error']}: {row['reason']}" if row["error"] else ""
        modules.add_row(
            row["module"][:12],
            row["site"],
            row["what"],
            f"{row['bytes'] / 1e6:.2f}",
            f"[{_STYLE.get(verdict, 'white')}]{verdict}[/]",
            "-" if row["seconds"] is None else f"{row['seconds']:.2f}",
            escape(why),
        )
    tables: list[RenderableType] = [modules]
    sites = {row["module"]: row["site"] for row in document["modules"]}
    if document["near_copies"]:
        copies = Table("later", "its site", "earlier", "its site", "cosine", title="Near copies")
        for row in document["near_copies"]:
            later, earlier = row["later"], row["earlier"]
            copies.add_row(later[:12], sites[later], earlier[:12], sites[earlier], f"{row['cosine']:.4f}")
        tables.append(copies)
    if document["outliers"]:
        odd = Table("module", "site", "figure", "value", "median", "z", title="Outliers")
        for row in document["outliers"]:
            odd.add_row(
                row["module"][:12],
                sites[row["module"]],
                row["figure"],
                f"{row['value']:.4g}",
                f"{row['median']:.4g}",
                f"{row['z_score']:+.1f}",
            )
        tables.append(odd)
    return tables


def _registered(module: RegisteredModule, verdict: Admission | None) -> dict[str, Any]:
    """Return a line; a module without a verdict was made here, or is of before verdicts were kept."""
    task = "" if module.task is None else f" {module.task.value}"
    return {
        "module": module.module_id,
        "site": module.site,
        "what": f"{module.category} {module.kind.value}{task}",
        "bytes": module.payload_bytes,
        "verdict": AdmissionVerdict.REGISTERED.value,
        "error": "",
        "reason": "",
        "figures": {} if verdict is None else _finite(verdict),
        "seconds": None if verdict is None else verdict.seconds,
    }


def _received(upload: DeclaredUpload) -> dict[str, Any]:
    manifest = json.loads(upload.manifest)
    task = f" {manifest['task']}" if manifest["task"] else ""
    return {
        "module": upload.upload_id,
        "site": upload.site,
        "what": f"{manifest['category']} {manifest['kind']}{task}",
        "bytes": upload.payload_bytes,
        "verdict": "received",
        "error": "",
        "reason": "",
        "figures": {},
        "seconds": None,
    }


def _refused(admission: Admission) -> dict[str, Any]:
    return {
        "module": admission.module_id,
        "site": admission.site,
        "what": "-",
        "bytes": admission.payload_bytes,
        "verdict": admission.verdict.value,
        "error": admission.error,
        "reason": admission.reason,
        "figures": _finite(admission),
        "seconds": admission.seconds,
    }


def _finite(admission: Admission) -> dict[str, float | str]:
    """Return the figures as JSON has them: what is not finite becomes a word."""
    return {
        name: value if abs(value) < float("inf") else str(value) for name, value in admission.figures.items()
    }


def _group(module: RegisteredModule) -> str:
    """Name what modules must have in common to be compared."""
    manifest = json.loads(module.manifest)
    return json.dumps([manifest["architecture"], manifest["kind"], manifest["task"]], sort_keys=True)
