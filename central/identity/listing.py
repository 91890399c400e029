"""What `transplant-central provision list` shows: identities, and the state of their certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography import x509
from rich.table import Table

from transplant.types import Role

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from central.identity.files import IdentityFolder
    from central.registry.registry import Books
    from central.registry.values import Certificate


def identity_document(books: Books, folder: IdentityFolder, now: datetime) -> dict[str, Any]:
    """Return the CA's and the server's expiry, and every identity with its categories and certificates."""
    categories = books.sites.all()
    known: dict[tuple[Role, str], list[Certificate]] = {(Role.SITE, name): [] for name in categories}
    for certificate in books.sites.certificates():
        known.setdefault((certificate.role, certificate.name), []).append(certificate)
    return {
        "ca_expires_at": _expiry(folder.ca),
        "server_expires_at": _expiry(folder.server),
        "identities": [
            {
                "role": role.value,
                "name": name,
                "categories": list(categories.get(name, ())) if role is Role.SITE else [],
                "certificates": [
                    {
                        "serial": certificate.serial,
                        "expires_at": certificate.expires_at.isoformat(),
                        "state": _state(certificate, now),
                    }
                    for certificate in certificates
                ],
            }
            for (role, name), certificates in sorted(known.items())
        ],
    }


def identity_tables(document: dict[str, Any]) -> list[Table]:
    """Return the document as a table, one line a certificate."""
    table = Table(title=f"identities; the server's certificate expires {document['server_expires_at']}")
    for column in ("role", "name", "categories", "serial", "expires", "state"):
        table.add_column(column, overflow="fold")
    for identity in document["identities"]:
        who = [identity["role"], identity["name"], ", ".join(identity["categories"])]
        for certificate in identity["certificates"] or [{"serial": "", "expires_at": "", "state": "no kit"}]:
            table.add_row(*who, certificate["serial"], certificate["expires_at"][:16], certificate["state"])
    return [table]


def _state(certificate: Certificate, now: datetime) -> str:
    if certificate.revoked:
        return "revoked"
    return "expired" if now > certificate.expires_at else "valid"


def _expiry(path: Path) -> str | None:
    """Return when a certificate expires; None where there is none that can be read."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.isoformat()
    except (OSError, ValueError):
        return None
