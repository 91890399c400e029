"""Registered modules and the blobs that they refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from central.registry.tables import BlobRow, ModuleRow
from central.registry.values import RegisteredModule
from transplant.errors import NotFound
from transplant.types import ModuleKind, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from transplant.artifact.manifest import Manifest

_AT_ONCE = 500  # ids in one question; databases limit how many parameters they take


class ModulesBook:
    """Modules, within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, manifest: Manifest, at: datetime) -> bool:
        """Register a module whose blob is in the store; return False if it is registered already."""
        if self.has(manifest.module_id):
            return False
        if self._session.get(BlobRow, manifest.payload_sha256) is None:
            self._session.add(BlobRow(sha256=manifest.payload_sha256, size_bytes=manifest.payload_bytes))
            self._session.flush()
        last = self._session.scalar(select(func.max(ModuleRow.position))) or 0
        self._session.add(
            ModuleRow(
                module_id=manifest.module_id,
                position=last + 1,
                site=manifest.site,
                category=manifest.category,
                kind=manifest.kind.value,
                task=None if manifest.task is None else manifest.task.value,
                payload_sha256=manifest.payload_sha256,
                manifest=manifest.canonical_bytes(),
                accepted_at=at,
            )
        )
        self._session.flush()
        return True

    def has(self, module_id: str) -> bool:
        """Tell whether a module is registered."""
        return self._session.get(ModuleRow, module_id) is not None

    def get(self, module_id: str) -> RegisteredModule:
        """Return a module.

        Raises:
            NotFound: if it is not registered.
        """
        found = self._select(ModuleRow.module_id == module_id)
        if not found:
            raise NotFound(f"no module {module_id[:80]}")
        return found[0]

    def list(self, category: str = "") -> tuple[RegisteredModule, ...]:
        """Return modules in the order of their registration, of one category or of all."""
        return self._select(*([ModuleRow.category == category] if category else []))

    def manifests(self, module_ids: Iterable[str]) -> dict[str, bytes]:
        """Return module id -> canonical manifest of those that are registered."""
        wanted, found = list(dict.fromkeys(module_ids)), dict[str, bytes]()
        for start in range(0, len(wanted), _AT_ONCE):
            some = ModuleRow.module_id.in_(wanted[start : start + _AT_ONCE])
            query = select(ModuleRow.module_id, ModuleRow.manifest).where(some)
            found.update((module_id, manifest) for module_id, manifest in self._session.execute(query))
        return found

    def category_manifests(self) -> tuple[tuple[str, bytes], ...]:
        """Return id and canonical manifest of every category module."""
        query = select(ModuleRow.module_id, ModuleRow.manifest).where(
            ModuleRow.kind == ModuleKind.CATEGORY.value
        )
        return tuple((module_id, manifest) for module_id, manifest in self._session.execute(query))

    def blob_in_use(self, sha256: str) -> bool:
        """Tell whether a registered module refers to a blob."""
        return self._session.get(BlobRow, sha256) is not None

    def unknown_blobs(self, digests: Iterable[str]) -> Sequence[str]:
        """Return those of `digests` that no registered module refers to."""
        return [sha256 for sha256 in digests if not self.blob_in_use(sha256)]

    def _select(self, *conditions: object) -> tuple[RegisteredModule, ...]:
        query = (
            select(ModuleRow, BlobRow.size_bytes)
            .join(BlobRow, BlobRow.sha256 == ModuleRow.payload_sha256)
            .where(*conditions)  # pyright: ignore[reportArgumentType]
            .order_by(ModuleRow.position)
        )
        return tuple(_module(row, size) for row, size in self._session.execute(query))


def _module(row: ModuleRow, payload_bytes: int) -> RegisteredModule:
    return RegisteredModule(
        module_id=row.module_id,
        position=row.position,
        site=row.site,
        category=row.category,
        kind=ModuleKind(row.kind),
        task=None if row.task is None else Task(row.task),
        payload_sha256=row.payload_sha256,
        payload_bytes=payload_bytes,
        manifest=row.manifest,
    )
