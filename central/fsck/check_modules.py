"""Modules, the teachers that they make up, and uploads: rows against the manifests that they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from central.fsck.finding import Finding
from central.registry.events_book import MODULE_ACCEPTED
from central.registry.values import AdmissionVerdict
from transplant.artifact.digest import sha256_hex
from transplant.artifact.manifest import parse_manifest
from transplant.errors import TransplantError
from transplant.types import ModuleKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from central.fsck.tables import Tables
    from transplant.artifact.manifest import Manifest

CENTER_SITE = "central"


def check_modules(tables: Tables) -> Iterator[Finding]:
    """Check every registered module."""
    known, sites = tables.by("modules", "module_id"), tables.by("sites", "name")
    blobs = tables.by("blobs", "sha256")
    for module_id, row in known.items():
        manifest, fault = _read(row["manifest"], module_id)
        if manifest is None:
            yield Finding("module-manifest", f"module {module_id}", fault)
            continue
        yield from _compare("module-columns", f"module {module_id}", row, manifest)
        for parent in manifest.parents:
            if parent not in known:
                yield Finding("module-parent-missing", f"module {module_id}", f"parent {parent}")
        if manifest.site not in sites and manifest.site != CENTER_SITE:
            yield Finding("module-site-missing", f"module {module_id}", f"site {manifest.site}")
        blob = blobs.get(manifest.payload_sha256)
        if blob is not None and blob["size_bytes"] != manifest.payload_bytes:
            told = f"{blob['size_bytes']} in the registry, {manifest.payload_bytes} in the manifest"
            yield Finding("blob-size", f"blob {manifest.payload_sha256}", told)
        times = tables.told[MODULE_ACCEPTED, module_id]
        if times != 1:
            yield Finding("module-event", f"module {module_id}", f"told {times} times")
    for subject in sorted(subject for kind, subject in tables.told if kind == MODULE_ACCEPTED):
        if subject not in known:
            yield Finding("module-event", f"module {subject}", "told, and not registered")


def check_verdicts(tables: Tables) -> Iterator[Finding]:
    """Check that what was registered is what admission let in. What the center made has no verdict."""
    modules = tables.by("modules", "module_id")
    newest = tables.by("admissions", "module_id")  # rows are in the order in which the verdicts fell
    for module_id, verdict in newest.items():
        let_in, module = verdict["verdict"] == AdmissionVerdict.REGISTERED.value, modules.get(module_id)
        if let_in != (module is not None):
            told = "registered" if module is not None else "not registered"
            yield Finding("module-verdict", f"module {module_id}", f"{verdict['verdict']}, and it is {told}")
        elif module is not None and any(verdict[name] != module[name] for name in ("site", "payload_sha256")):
            yield Finding("module-verdict", f"module {module_id}", "it is about another payload or site")


def check_teachers(tables: Tables) -> Iterator[Finding]:
    """Check that every complete teacher is made of modules that belong together."""
    modules = tables.by("modules", "module_id")
    teachers = tables.by("teachers", "teacher_id")
    for teacher_id, row in teachers.items():
        lower = modules.get(row["category_module"])
        if lower is None:
            continue  # a missing reference is told by itself
        wanted = (teacher_id, row["site"], row["category"], ModuleKind.CATEGORY.value)
        if wanted != (lower["module_id"], lower["site"], lower["category"], lower["kind"]):
            yield Finding("teacher-columns", f"teacher {teacher_id}", "not its category module")
    parts = (
        ("teacher_tasks", "task_module", ModuleKind.TASK),
        ("teacher_answers", "answers", ModuleKind.ANSWERS),
        ("teacher_statistics", "statistics", ModuleKind.STATISTICS),
    )
    for table, column, kind in parts:
        for row in tables[table]:
            teacher, upper = teachers.get(row["teacher_id"]), modules.get(row[column])
            if teacher is None or upper is None:
                continue
            lower = modules.get(teacher["category_module"], teacher)
            fits = (upper["site"], upper["category"]) == (lower["site"], lower["category"])
            if not fits or upper["kind"] != kind.value or upper["task"] != row.get("task"):
                yield Finding(
                    "teacher-columns", f"teacher {row['teacher_id']}", f"{table}: {row[column]} does not fit"
                )


def check_uploads(tables: Tables) -> Iterator[Finding]:
    """Check every upload under way."""
    modules = tables.by("modules", "module_id")
    for row in tables["uploads"]:
        upload_id = row["upload_id"]
        manifest, fault = _read(row["manifest"], upload_id)
        if manifest is None:
            yield Finding("upload-columns", f"upload {upload_id}", fault)
            continue
        yield from _compare("upload-columns", f"upload {upload_id}", row, manifest)
        if (row["place"] is None) != (row["received_at"] is None):
            yield Finding("upload-columns", f"upload {upload_id}", "half of it says that it is received")
        if upload_id in modules:
            yield Finding("upload-registered", f"upload {upload_id}")


def _read(document: bytes, module_id: str) -> tuple[Manifest | None, str]:
    actual = sha256_hex(document)
    if actual != module_id:
        return None, f"the document's sha256 is {actual}"
    try:
        return parse_manifest(document), ""
    except TransplantError as error:
        return None, str(error)


def _compare(kind: str, where: str, row: dict[str, Any], manifest: Manifest) -> Iterator[Finding]:
    wanted: dict[str, object] = {
        "site": manifest.site,
        "category": manifest.category,
        "kind": manifest.kind.value,
        "task": None if manifest.task is None else manifest.task.value,
        "payload_sha256": manifest.payload_sha256,
        "payload_bytes": manifest.payload_bytes,
    }
    wrong = [
        f"{name} is {row[name]!r}" for name, value in wanted.items() if name in row and row[name] != value
    ]
    if wrong:
        yield Finding(kind, where, "; ".join(wrong))
