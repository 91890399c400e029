"""Clear what was never committed: abandoned uploads, and files that no upload knows."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from central.registry.audit_book import CENTRAL, Action
from central.registry.values import AdmissionVerdict

if TYPE_CHECKING:
    from central.registry.registry import Books
    from central.registry.values import DeclaredUpload
    from central.usecases.center import Center

log = logging.getLogger(__name__)

ABANDONED = timedelta(days=7)


def reap(center: Center) -> int:
    """Remove abandoned uploads and orphaned files; return how many.

    Only between two serves: what looks orphaned while one goes on may be work in progress. A blob is deleted
    only where an abandoned upload put it there and nothing else refers to it: a store is never swept by what
    a registry does not know, because it might be the wrong registry.
    """
    removed = reap_abandoned(center)
    with center.registry.write() as books:
        uploads = {upload.upload_id for upload in books.uploads.all()}
        removed += _clear_rejected(center, books)
        open_merges = {merge.task.key for merge in books.merges.list(open_only=True)}
    for upload_id in set(center.parts.known()) - uploads:
        center.parts.remove(upload_id)
        removed += 1
    for merge_key in set(center.workshop.keys()) - open_merges:
        center.workshop.bench(merge_key).tidy()
    if removed:
        log.info("cleared %d uploads and files that nobody needs any more", removed)
    return removed


def reap_abandoned(center: Center) -> int:
    """Remove uploads of which no byte became durable for so long that nobody works on them; return how many.

    At any time: a commit of the very upload is waited for, and what it has received stays.
    """
    with center.registry.read() as books:
        waiting = [upload for upload in books.uploads.all() if _is_abandoned(center, upload)]
    return sum(_reap(center, upload) for upload in waiting)


def _is_abandoned(center: Center, upload: DeclaredUpload) -> bool:
    last = max(upload.declared_at, center.parts.progressed_at(upload.upload_id) or upload.declared_at)
    return upload.received_at is None and center.clock.now() - last > ABANDONED


def _reap(center: Center, upload: DeclaredUpload) -> bool:
    upload_id, sha256 = upload.upload_id, upload.payload_sha256
    with center.parts.committing(sha256), center.registry.write() as books:
        now = books.uploads.get(upload_id)
        if now is None or not _is_abandoned(center, now):
            return False  # its site came back meanwhile
        books.uploads.remove(upload_id)
        books.audit.append(CENTRAL, Action.UPLOAD_REAPED, upload_id, site=upload.site)
        in_use = books.modules.blob_in_use(sha256) or books.uploads.use_blob(sha256)
        if center.parts.taken(upload_id, upload.payload_bytes) and not in_use:
            center.store.delete(sha256)
        center.parts.remove(upload_id)  # before the site can declare it again
    return True


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
