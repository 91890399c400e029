"""Declared modules that are not decided about, and what each site uses of its quota."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update

from central.registry.tables import AdmissionRow, BlobRow, ModuleRow, UploadRow
from central.registry.values import AdmissionVerdict, DeclaredUpload, SiteUse

if TYPE_CHECKING:
    from datetime import datetime

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
                declared_at=upload.declared_at,
                received_at=upload.received_at,
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

    def receive(self, upload_id: str, at: datetime) -> None:
        """Record that the bytes are in the store, and queue up for admission; twice is as good as once."""
        last = self._session.scalar(select(func.max(UploadRow.place))) or 0
        waiting = UploadRow.upload_id == upload_id, UploadRow.place.is_(None)
        self._session.execute(update(UploadRow).where(*waiting).values(place=last + 1, received_at=at))

    def received(self) -> tuple[DeclaredUpload, ...]:
        """Return the uploads that await admission, in the order in which they came."""
        query = select(UploadRow).where(UploadRow.place.is_not(None)).order_by(UploadRow.place)
        return tuple(_upload(row) for row in self._session.scalars(query))

    def use_blob(self, sha256: str) -> bool:
        """Tell whether an upload is of these bytes."""
        query = select(UploadRow.upload_id).where(UploadRow.payload_sha256 == sha256).limit(1)
        return self._session.scalar(query) is not None

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
            select(
                func.count(), func.coalesce(func.sum(UploadRow.payload_bytes), 0), func.count(UploadRow.place)
            ).where(UploadRow.site == site)
        ).one()
        rejected = self._session.scalar(
            select(func.count(AdmissionRow.module_id.distinct())).where(
                AdmissionRow.site == site, AdmissionRow.verdict == AdmissionVerdict.REJECTED.value
            )
        )
        under_way, received = int(declared[0]) - int(declared[2]), int(declared[2])
        return SiteUse(
            registered_bytes=int(registered[1]),
            declared_bytes=int(declared[1]),
            modules=int(registered[0]),
            open_uploads=under_way,
            received=received,
            rejected=int(rejected or 0),
        )


def _upload(row: UploadRow) -> DeclaredUpload:
    return DeclaredUpload(
        upload_id=row.upload_id,
        site=row.site,
        payload_sha256=row.payload_sha256,
        payload_bytes=row.payload_bytes,
        manifest=row.manifest,
        declared_at=row.declared_at,
        received_at=row.received_at,
    )
