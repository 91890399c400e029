"""Declared modules whose bytes are on their way, and what each site uses of its quota."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update

from central.registry.tables import BlobRow, ModuleRow, UploadRow
from central.registry.values import DeclaredUpload, SiteUse

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class UploadsBook:
    """Uploads, within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, upload: DeclaredUpload) -> None:
        """Record a declaration."""
        self._session.add(
            UploadRow(
                upload_id=upload.upload_id,
                site=upload.site,
                payload_sha256=upload.payload_sha256,
                payload_bytes=upload.payload_bytes,
                manifest=upload.manifest,
                admitted=upload.admitted,
                declared_at=upload.declared_at,
            )
        )
        self._session.flush()

    def get(self, upload_id: str) -> DeclaredUpload | None:
        """Return an upload under way, or None."""
        row = self._session.get(UploadRow, upload_id)
        return None if row is None else _upload(row)

    def all(self) -> tuple[DeclaredUpload, ...]:
        """Return every upload under way."""
        return tuple(_upload(row) for row in self._session.scalars(select(UploadRow)))

    def admit(self, upload_id: str) -> None:
        """Record that every check is passed: only the move into the store is left."""
        self._session.execute(update(UploadRow).where(UploadRow.upload_id == upload_id).values(admitted=True))

    def remove(self, upload_id: str) -> None:
        """Forget an upload; harmless where there is none."""
        self._session.execute(delete(UploadRow).where(UploadRow.upload_id == upload_id))

    def use_of(self, site: str) -> SiteUse:
        """Return what a site has registered and declared."""
        registered = self._session.execute(
            select(func.count(), func.coalesce(func.sum(BlobRow.size_bytes), 0))
            .select_from(ModuleRow)
            .join(BlobRow, BlobRow.sha256 == ModuleRow.payload_sha256)
            .where(ModuleRow.site == site)
        ).one()
        declared = self._session.execute(
            select(func.count(), func.coalesce(func.sum(UploadRow.payload_bytes), 0)).where(
                UploadRow.site == site
            )
        ).one()
        return SiteUse(int(registered[1]), int(declared[1]), int(registered[0]), int(declared[0]))


def _upload(row: UploadRow) -> DeclaredUpload:
    return DeclaredUpload(
        upload_id=row.upload_id,
        site=row.site,
        payload_sha256=row.payload_sha256,
        payload_bytes=row.payload_bytes,
        manifest=row.manifest,
        admitted=row.admitted,
        declared_at=row.declared_at,
    )
