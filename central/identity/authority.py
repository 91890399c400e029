"""The center's own certificate authority: keys, the CA certificate, and signing. EC P-256 throughout."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from transplant.artifact.durable_file import storage_errors, write_durably
from transplant.errors import CertificateInvalid, InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from transplant.types import Identity

SERVER_NAME = "transplant-central"
"""A name that every server certificate holds: kits verify it, so a center may move to another host."""

CLOCK_SKEW = timedelta(hours=1)
"""How long before it is signed a certificate is valid already: its holder's clock may be behind."""
_CA_DAYS = 3650


@dataclass(frozen=True)
class Issued:
    """A certificate with its private key, both PEM."""

    certificate: x509.Certificate
    certificate_pem: bytes
    key_pem: bytes

    @property
    def serial(self) -> str:
        """Return the serial number as it stands in the registry."""
        return format(self.certificate.serial_number, "x")


@dataclass(frozen=True)
class Authority:
    """A CA that can sign. A copy of each client certificate is kept in `issued`, by its serial number."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    issued: Path | None = None

    @property
    def certificate_pem(self) -> bytes:
        """Return what clients and the server trust."""
        return _pem(self.certificate)

    @property
    def key_pem(self) -> bytes:
        """Return the CA's private key."""
        return _key_pem(self.key)

    def issue_server(self, hosts: Sequence[str], days: float) -> Issued:
        """Sign a server certificate for DNS names and IP addresses, and for `SERVER_NAME`."""
        names: list[x509.GeneralName] = [_host_name(host) for host in dict.fromkeys((SERVER_NAME, *hosts))]
        key = ec.generate_private_key(ec.SECP256R1())
        lifetime = timedelta(days=days)
        certificate = self._sign(
            key.public_key(), SERVER_NAME, names, ExtendedKeyUsageOID.SERVER_AUTH, lifetime
        )
        return Issued(certificate, _pem(certificate), _key_pem(key))

    def issue_client(self, identity: Identity, days: float) -> Issued:
        """Make a key and sign a client certificate whose SAN URI is the identity."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.sign_client(identity, key.public_key(), timedelta(days=days))
        return Issued(certificate, _pem(certificate), _key_pem(key))

    def sign_client(
        self, identity: Identity, public_key: CertificatePublicKeyTypes, lifetime: timedelta
    ) -> x509.Certificate:
        """Sign a client certificate for a key that its holder made."""
        names = [x509.UniformResourceIdentifier(identity_uri(identity))]
        signed = self._sign(public_key, identity.name, names, ExtendedKeyUsageOID.CLIENT_AUTH, lifetime)
        if self.issued is not None:
            with storage_errors(self.issued):
                self.issued.mkdir(mode=0o700, exist_ok=True)
            write_durably(self.issued / f"{format(signed.serial_number, 'x')}.pem", _pem(signed))
        return signed

    def _sign(
        self,
        public_key: CertificatePublicKeyTypes,
        common_name: str,
        names: Sequence[x509.GeneralName],
        use: x509.ObjectIdentifier,
        lifetime: timedelta,
    ) -> x509.Certificate:
        end = self.certificate.not_valid_after_utc
        if datetime.now(UTC) >= end:
            raise CertificateInvalid(
                f"the CA expired on {end:%Y-%m-%d}: every kit must be made anew, with a new CA in a new home"
            )
        return (
            _builder(common_name, self.certificate.subject, lifetime, end)
            .public_key(public_key)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )


def identity_uri(identity: Identity) -> str:
    """Return the SAN URI of an identity."""
    return f"transplant://{identity.role.value}/{identity.name}"


def new_authority() -> Authority:
    """Make a CA, valid for ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "transplant CA")])
    certificate = (
        _builder("transplant CA", name, timedelta(days=_CA_DAYS))
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def load_authority(certificate_path: Path, key_path: Path) -> Authority:
    """Read a CA from its two files.

    Raises:
        CertificateInvalid: if one is missing or is not what it should be.
    """
    try:
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except FileNotFoundError as error:
        raise CertificateInvalid(
            f"there is no CA yet: {error.filename} is missing; run `transplant-central provision ca` first"
        ) from error
    except (ValueError, TypeError, OSError) as error:
        raise CertificateInvalid(f"the CA in {certificate_path.parent} cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise CertificateInvalid(f"{key_path} is not the key of {certificate_path}")
    return Authority(certificate, key, certificate_path.parent / "issued")


def _builder(
    common_name: str, issuer: x509.Name, lifetime: timedelta, latest: datetime | None = None
) -> x509.CertificateBuilder:
    """Start a certificate; one that outlived its CA (`latest`) would promise what nobody will believe."""
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetime if latest is None else min(now + lifetime, latest))
    )


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise InvalidSettings(f"{host!r} is neither a host name nor an IP address") from error


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
