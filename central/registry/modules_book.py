"""Registered modules and the blobs that they refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, insert, select

from central.registry.tables import BlobRow, ModuleRow, table_of
from central.registry.values import RegisteredModule
from transplant.artifact.digest import sha256_hex
from transplant.errors import NotFound
from transplant.types import ModuleKind, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Row
    from sqlalchemy.orm import Session

    from transplant.artifact.manifest import Manifest

_AT_ONCE = 500  # ids in one question; databases limit how many parameters they take
_MODULES, _BLOBS = table_of(ModuleRow), table_of(BlobRow)
_HAS = select(_MODULES.c.module_id).where(_MODULES.c.module_id == bindparam("module_id"))
_HAS_BLOB = select(_BLOBS.c.sha256).where(_BLOBS.c.sha256 == bindparam("sha256"))
_MANIFESTS = select(_MODULES.c.module_id, _MODULES.c.manifest)
_WHOLE = (
    select(_MODULES, _BLOBS.c.size_bytes)
    .join(_BLOBS, _BLOBS.c.sha256 == _MODULES.c.payload_sha256)
    .order_by(_MODULES.c.position)
)
_LAST = select(func.max(_MODULES.c.position))
_ADD, _ADD_BLOB = insert(_MODULES), insert(_BLOBS)


class ModulesBook:
    """Modules, within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, manifest: Manifest, at: datetime) -> bool:
        """Register a module whose blob is in the store; return False if it is registered already."""
        if self.has(manifest.module_id):
            return False
        if not self.blob_in_use(manifest.payload_sha256):
            blob = {"sha256": manifest.payload_sha256, "size_bytes": manifest.payload_bytes}
            self._session.execute(_ADD_BLOB, blob)
        document = manifest.canonical_bytes()
        row = {
            "module_id": sha256_hex(document),
            "position": (self._session.scalar(_LAST) or 0) + 1,
            "site": manifest.site,
            "category": manifest.category,
            "kind": manifest.kind.value,
            "task": None if manifest.task is None else manifest.task.value,
            "payload_sha256": manifest.payload_sha256,
            "manifest": document,
            "accepted_at": at,
        }
        self._session.execute(_ADD, row)
        return True

    def has(self, module_id: str) -> bool:
        """Tell whether a module is registered."""
        return self._session.scalar(_HAS, {"module_id": module_id}) is not None

    def get(self, module_id: str) -> RegisteredModule:
        """Return a module.

        Raises:
            NotFound: if it is not registered.
        """
        found = self._select(_MODULES.c.module_id == module_id)
        if not found:
            raise NotFound(f"no module {module_id[:80]}")
        return found[0]

    def list(self, category: str = "") -> tuple[RegisteredModule, ...]:
        """Return modules in the order of their registration, of one category or of all."""
        return self._select(*([_MODULES.c.category == category] if category else []))

    def manifests(self, module_ids: Iterable[str]) -> dict[str, bytes]:
        """Return module id -> canonical manifest of those that are registered."""
        wanted, found = list(dict.fromkeys(module_ids)), dict[str, bytes]()
        for start in range(0, len(wanted), _AT_ONCE):
            query = _MANIFESTS.where(_MODULES.c.module_id.in_(wanted[start : start + _AT_ONCE]))
            found.update((module_id, manifest) for module_id, manifest in self._session.execute(query))
        return found

    def task_payloads(self) -> tuple[tuple[str, str], ...]:
        """Return id and sha256 of the payload of every task module."""
        query = select(ModuleRow.module_id, ModuleRow.payload_sha256)
        rows = self._session.execute(query.where(ModuleRow.kind == ModuleKind.TASK.value))
        return tuple((module_id, sha256) for module_id, sha256 in rows)

    def category_manifests(self) -> tuple[tuple[str, bytes], ...]:
        """Return id and canonical manifest of every category module."""
        query = _MANIFESTS.where(_MODULES.c.kind == ModuleKind.CATEGORY.value)
        return tuple((module_id, manifest) for module_id, manifest in self._session.execute(query))

    def blob_in_use(self, sha256: str) -> bool:
        """Tell whether a registered module refers to a blob."""
        return self._session.scalar(_HAS_BLOB, {"sha256": sha256}) is not None

    def unknown_blobs(self, digests: Iterable[str]) -> Sequence[str]:
        """Return those of `digests` that no registered module refers to."""
        return [sha256 for sha256 in digests if not self.blob_in_use(sha256)]

    def _select(self, *conditions: ColumnElement[bool]) -> tuple[RegisteredModule, ...]:
        return tuple(map(_module, self._session.execute(_WHOLE.where(*conditions))))


def _module(row: Row[Any]) -> RegisteredModule:
    return RegisteredModule(
        module_id=row.module_id,
        position=row.position,
        site=row.site,
        category=row.category,
        kind=ModuleKind(row.kind),
        task=None if row.task is None else Task(row.task),
        payload_sha256=row.payload_sha256,
        payload_bytes=row.size_bytes,
        manifest=row.manifest,
    )
