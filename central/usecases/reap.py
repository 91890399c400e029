"""Clear what was never committed: abandoned uploads, and files that no upload knows."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from central.registry.audit_book import CENTRAL, Action
from central.registry.values import AdmissionVerdict

if TYPE_CHECKING:
    from central.registry.registry import Books
    from central.usecases.center import Center

log = logging.getLogger(__name__)

ABANDONED = timedelta(days=7)


def reap(center: Center) -> int:
    """Remove abandoned uploads and orphaned files; return how many.

    Only between two serves, or of uploads so old that nobody works on them. A blob is deleted only
    where an abandoned upload put it there and nothing else refers to it: a store is never swept by what
    a registry does not know, because it might be the wrong registry.
    """
    removed = 0
    with center.registry.write() as books:
        uploads = {upload.upload_id: upload for upload in books.uploads.all()}
        for upload in list(uploads.values()):
            if upload.received_at is None and center.clock.now() - upload.declared_at > ABANDONED:
                books.uploads.remove(upload.upload_id)
                books.audit.append(CENTRAL, Action.UPLOAD_REAPED, upload.upload_id, site=upload.site)
                sha256 = upload.payload_sha256
                in_use = books.modules.blob_in_use(sha256) or books.uploads.use_blob(sha256)
                if center.parts.taken(upload.upload_id, upload.payload_bytes) and not in_use:
                    center.store.delete(sha256)
                del uploads[upload.upload_id]
        removed += _clear_rejected(center, books)
        open_merges = {merge.task.key for merge in books.merges.list(open_only=True)}
    for upload_id in set(center.parts.known()) - set(uploads):
        center.parts.remove(upload_id)
        removed += 1
    for merge_key in set(center.workshop.keys()) - open_merges:
        center.workshop.bench(merge_key).tidy()
    if removed:
        log.info("cleared %d files that no registry entry needs", removed)
    return removed


def _clear_rejected(center: Center, books: Books) -> int:
    """Remove payloads whose rejection was written down before a crash, and which were not removed yet."""
    removed = 0
    for admission in books.admissions.newest(since=center.clock.now() - ABANDONED):
        sha256 = admission.payload_sha256
        in_use = books.modules.blob_in_use(sha256) or books.uploads.use_blob(sha256)
        if admission.verdict is AdmissionVerdict.REJECTED and not in_use and center.store.has(sha256):
            center.store.delete(sha256)
            removed += 1
    return removed
