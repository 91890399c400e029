"""Renewal: the same identity goes on with a new certificate, and the old one stays good until it expires.

The operator renews at the console. Where the settings say `renewal = automatic`, a site, an operator or a
reader may do it itself over the wire, once its certificate is in the last third of its life.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from central.identity.authority import CLOCK_SKEW, SERVER_NAME, identity_uri
from central.identity.files import write_kit
from central.identity.peer import peer_of
from central.identity.provision import check_address, issue_certificate
from central.registry.audit_book import CONSOLE, Action, actor_of
from central.registry.values import Certificate
from transplant.errors import CertificateInvalid, InvalidSettings, NotAllowed, QuotaExceeded, TooLarge
from transplant.rpc.renewal import renewable_from

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from central.identity.authority import Authority
    from central.identity.files import IdentityFolder
    from central.identity.peer import Peer
    from central.registry.registry import Books, Registry
    from transplant.ports.clock import Clock
    from transplant.types import Identity

_REQUEST_BYTES = 8 << 10
_AHEAD = 3  # newer certificates that an identity may hold: a swap that failed must be possible again


@dataclass(frozen=True)
class Renewals:
    """Renewal over the wire.

    Attributes:
        registry: knows which certificates were issued.
        clock: the center's.
        folder: where the CA's key is read from, at each renewal; serving needs it for nothing else.
        automatic: whether the operator lets others renew by themselves.
    """

    registry: Registry
    clock: Clock
    folder: IdentityFolder
    automatic: bool

    def renew(self, presented: bytes, request: bytes) -> tuple[bytes, bytes]:
        """Sign a new key for the identity of a certificate; return certificate and CA certificate, PEM.

        The new certificate lives as long as the old one was made to.

        Args:
            presented: the caller's certificate, PEM; whoever calls has just checked its rights.
            request: signing request (PKCS#10, PEM).

        Raises:
            NotAllowed: if the operator renews at the console only, it is too early, or the request is for
                another identity.
            InvalidSettings: if the request is none, or its key is not one that this center signs.
            TooLarge: if it is larger than a request can be.
            QuotaExceeded: if the identity has been given newer certificates already.
            CertificateInvalid: if the center has no CA key at hand.
        """
        peer = peer_of(presented)
        if not self.automatic:
            raise NotAllowed("this center's operator renews certificates: ask for a new kit")
        early = renewable_from(presented)
        if self.clock.now() < early:
            raise NotAllowed(
                f"the certificate of {peer.identity.name} can be renewed from {early:%Y-%m-%d %H:%M} UTC on"
            )
        key = _requested_key(request, peer.identity)
        old = x509.load_pem_x509_certificate(presented)
        lifetime = old.not_valid_after_utc - old.not_valid_before_utc - CLOCK_SKEW
        authority = self.folder.authority()
        if old.not_valid_after_utc >= authority.certificate.not_valid_after_utc:
            raise CertificateInvalid(
                "the center's CA expires together with this certificate: ask its operator"
            )
        made = authority.sign_client(peer.identity, key, lifetime)
        serial = format(made.serial_number, "x")
        expires = made.not_valid_after_utc
        with self.registry.write() as books:
            _check_not_ahead(books, peer, old.not_valid_after_utc)
            books.sites.add_certificate(
                Certificate(serial, peer.identity.role, peer.identity.name, expires, revoked=False)
            )
            told = {"serial": serial, "expires_at": expires.isoformat(), "replaces": peer.serial}
            actor = actor_of(peer.identity)
            books.audit.append(actor, Action.CERTIFICATE_RENEWED, actor, **told)
        return made.public_bytes(serialization.Encoding.PEM), authority.certificate_pem


def renew_server(
    registry: Registry, folder: IdentityFolder, hosts: Sequence[str], days: float
) -> tuple[str, ...]:
    """Issue a new server certificate for the names of the old one and for `hosts`; return all its names.

    The CA stays, so every kit goes on working; a center that serves takes it at the next handshake.

    Raises:
        CertificateInvalid: if there is no CA, or no readable server certificate to take the names from.
    """
    authority = folder.authority()
    try:
        old = x509.load_pem_x509_certificate(folder.server.read_bytes())
        names = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound) as error:
        raise CertificateInvalid(
            f"cannot read the names of {folder.server}: {error}; "
            "`transplant-central provision ca --host NAME` makes a new one"
        ) from error
    known = [
        *names.get_values_for_type(x509.DNSName),
        *map(str, names.get_values_for_type(x509.IPAddress)),
    ]
    wanted = tuple(dict.fromkeys(name for name in (*known, *hosts) if name != SERVER_NAME))
    issued = authority.issue_server(wanted, days)
    told = {"serial": issued.serial, "expires_at": issued.certificate.not_valid_after_utc.isoformat()}
    with registry.write() as books:
        books.audit.append(CONSOLE, Action.CERTIFICATE_RENEWED, "server", names=wanted, **told)
    folder.write_server(issued)
    return wanted


def renew_kit(
    registry: Registry, authority: Authority, identity: Identity, *, center: str, days: int, out: Path
) -> None:
    """Issue a new kit for an identity that has one; the old certificate stays good until it expires.

    Raises:
        InvalidSettings: if this center never issued a certificate for it, or has revoked all of them.
    """
    check_address(center)
    uri = identity_uri(identity)
    first = f"`transplant-central provision {identity.role.value}`"
    with registry.write() as books:
        known = books.sites.certificates(identity.role, identity.name)
        if not known:
            raise InvalidSettings(f"there is no {uri} to renew: {first} makes its first kit")
        if all(certificate.revoked for certificate in known):
            raise InvalidSettings(f"every certificate of {uri} was revoked; {first} lets it in again")
        issued = issue_certificate(books, authority, identity, days, Action.CERTIFICATE_RENEWED)
    write_kit(out, identity, center, authority.certificate_pem, issued)


def _requested_key(request: bytes, identity: Identity) -> ec.EllipticCurvePublicKey:
    """Return the key that shall be signed; whatever else the request asks for is not looked at."""
    if len(request) > _REQUEST_BYTES:
        raise TooLarge(f"a signing request has at most {_REQUEST_BYTES} bytes; this one has {len(request)}")
    try:
        asked = x509.load_pem_x509_csr(request)
        key = asked.public_key()
        signed = asked.is_signature_valid
        names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound) as error:
        raise InvalidSettings(f"csr: not a signing request that names an identity: {error}") from error
    if not signed:
        raise InvalidSettings("csr: whoever made it does not hold the key in it")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidSettings("csr: the key must be an elliptic curve key on P-256")
    if list(names) != [x509.UniformResourceIdentifier(identity_uri(identity))]:
        raise NotAllowed(f"a certificate of {identity_uri(identity)} is renewed for this very identity only")
    return key


def _check_not_ahead(books: Books, peer: Peer, end: datetime) -> None:
    """Refuse to go on issuing to a caller that never takes what it is given."""
    newer = [
        certificate
        for certificate in books.sites.certificates(peer.identity.role, peer.identity.name)
        if not certificate.revoked and certificate.expires_at >= end and certificate.serial != peer.serial
    ]
    if len(newer) >= _AHEAD:
        raise QuotaExceeded(
            f"{identity_uri(peer.identity)} was given {len(newer)} newer certificates already: "
            "use the newest, or ask the center's operator for a kit"
        )
