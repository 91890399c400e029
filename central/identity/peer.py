"""Who calls, read from the certificate of a TLS peer. Never from a message."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography import x509

from transplant.errors import InvalidName, NotAuthenticated
from transplant.types import Identity, Role, checked_name

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class Peer:
    """A caller's identity and the certificate that proves it."""

    identity: Identity
    serial: str
    expires_at: datetime


@lru_cache(maxsize=512)
def peer_of(certificate_pem: bytes) -> Peer:
    """Return who a client certificate says its holder is.

    The TLS handshake has checked the signature; this reads the one SAN URI `transplant://<role>/<name>`.

    Raises:
        NotAuthenticated: if the certificate holds no such identity, or more than one.
    """
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise NotAuthenticated("the client certificate holds no transplant identity") from error
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    identities = [identity for identity in map(_identity, uris) if identity is not None]
    if len(identities) != 1:
        raise NotAuthenticated("the client certificate holds no transplant identity, or more than one")
    return Peer(identities[0], format(certificate.serial_number, "x"), certificate.not_valid_after_utc)


def _identity(uri: str) -> Identity | None:
    try:
        parts = urlsplit(uri)
        if parts.scheme != "transplant":
            return None
        return Identity(Role(parts.netloc), checked_name("identity", parts.path.removeprefix("/")))
    except (ValueError, InvalidName):
        return None
