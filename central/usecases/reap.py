"""Clear what was never committed: abandoned uploads, and files that no upload knows."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from central.usecases.center import Center

log = logging.getLogger(__name__)

ABANDONED = timedelta(days=7)


def reap(center: Center) -> int:
    """Remove abandoned uploads and orphaned files; return how many.

    Only between two serves, or of uploads so old that nobody works on them. A blob is deleted only
    where an abandoned upload put it there and no module refers to it: a store is never swept by what
    a registry does not know, because it might be the wrong registry.
    """
    removed = 0
    with center.registry.write() as books:
        uploads = {upload.upload_id: upload for upload in books.uploads.all()}
        for upload in list(uploads.values()):
            if center.clock.now() - upload.declared_at > ABANDONED:
                books.uploads.remove(upload.upload_id)
                if upload.admitted and not books.modules.blob_in_use(upload.payload_sha256):
                    center.store.delete(upload.payload_sha256)
                del uploads[upload.upload_id]
        open_merges = {merge.task.key for merge in books.merges.list(open_only=True)}
    for upload_id in set(center.parts.known()) - set(uploads):
        center.parts.remove(upload_id)
        removed += 1
    for merge_key in set(center.workshop.keys()) - open_merges:
        center.workshop.bench(merge_key).tidy()
    if removed:
        log.info("cleared %d partial uploads that no registry entry knows", removed)
    return removed
