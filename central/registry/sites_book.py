"""Sites, the categories they may bring, and the certificates that were issued."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from central.registry.tables import CertificateRow, SiteCategoryRow, SiteRow
from central.registry.values import Certificate
from transplant.types import Role

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy.orm import Session


class SitesBook:
    """Sites and identities, within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def admit(self, name: str, categories: Iterable[str], at: datetime) -> None:
        """Add a site, or more categories to a known one."""
        if self._session.get(SiteRow, name) is None:
            self._session.add(SiteRow(name=name, created_at=at))
            self._session.flush()
        for category in sorted(set(categories) - self.categories(name)):
            self._session.add(SiteCategoryRow(site=name, category=category))
        self._session.flush()

    def categories(self, name: str) -> frozenset[str]:
        """Return the categories that a site may bring; empty for an unknown site."""
        query = select(SiteCategoryRow.category).where(SiteCategoryRow.site == name)
        return frozenset(self._session.scalars(query))

    def all(self) -> dict[str, tuple[str, ...]]:
        """Return every site with its categories."""
        names = sorted(self._session.scalars(select(SiteRow.name)))  # each database has an order of its own
        return {name: tuple(sorted(self.categories(name))) for name in names}

    def withdraw(self, name: str, categories: Iterable[str]) -> int:
        """Take categories from a site; return how many it had of them. Without any it is let in nowhere."""
        taken = self._session.scalars(
            delete(SiteCategoryRow)
            .where(SiteCategoryRow.site == name, SiteCategoryRow.category.in_(tuple(categories)))
            .returning(SiteCategoryRow.category)
        )
        return len(taken.all())

    def add_certificate(self, certificate: Certificate) -> None:
        """Record a certificate that was issued."""
        self._session.add(
            CertificateRow(
                serial=certificate.serial,
                role=certificate.role.value,
                name=certificate.name,
                expires_at=certificate.expires_at,
                revoked_at=None,
            )
        )
        self._session.flush()

    def certificate(self, serial: str) -> Certificate | None:
        """Return what is known of a certificate, or None if this center never issued it."""
        row = self._session.get(CertificateRow, serial)
        return None if row is None else _certificate(row)

    def certificates(self, role: Role | None = None, name: str | None = None) -> tuple[Certificate, ...]:
        """Return every certificate that was issued, or those of a role or a name, by when they expire."""
        query = select(CertificateRow).order_by(CertificateRow.expires_at, CertificateRow.serial)
        if role is not None:
            query = query.where(CertificateRow.role == role.value)
        if name is not None:
            query = query.where(CertificateRow.name == name)
        return tuple(map(_certificate, self._session.scalars(query)))

    def revoke(self, role: Role, name: str, at: datetime) -> int:
        """Revoke every certificate of an identity; return how many that were."""
        rows = self._session.scalars(
            update(CertificateRow)
            .where(
                CertificateRow.role == role.value,
                CertificateRow.name == name,
                CertificateRow.revoked_at.is_(None),
            )
            .values(revoked_at=at)
            .returning(CertificateRow.serial)
        )
        return len(rows.all())

    def revoke_serial(self, serial: str, at: datetime) -> bool:
        """Revoke one certificate; say whether there was one that was not revoked yet."""
        rows = self._session.scalars(
            update(CertificateRow)
            .where(CertificateRow.serial == serial, CertificateRow.revoked_at.is_(None))
            .values(revoked_at=at)
            .returning(CertificateRow.serial)
        )
        return len(rows.all()) > 0


def _certificate(row: CertificateRow) -> Certificate:
    return Certificate(row.serial, Role(row.role), row.name, row.expires_at, row.revoked_at is not None)
