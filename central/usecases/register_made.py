"""A module that the center itself made is registered: its row, the audit entry, and the news of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.registry.audit_book import Action
from central.registry.events_book import MODULE_ACCEPTED

if TYPE_CHECKING:
    from datetime import datetime

    from central.registry.registry import Books
    from transplant.artifact.manifest import Manifest


def register_made(books: Books, manifest: Manifest, now: datetime, actor: str, **about: object) -> None:
    """Register a module whose payload is in the store; one that is registered already stays as it is.

    Args:
        books: of an open transaction.
        manifest: of the module.
        now: when.
        actor: on whose word, for the audit log.
        about: the audit entry's detail.
    """
    if not books.modules.add(manifest, now):
        return
    detail = f"{manifest.kind.value} {manifest.task.value if manifest.task else ''}".strip()
    books.audit.append(actor, Action.MODULE_REGISTERED, manifest.module_id, **about)
    books.events.add(MODULE_ACCEPTED, manifest.module_id, now, category=manifest.category, detail=detail)
