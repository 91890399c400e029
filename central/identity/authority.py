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

from transplant.errors import CertificateInvalid, InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from transplant.types import Identity

SERVER_NAME = "transplant-central"
"""A name that every server certificate holds: kits verify it, so a center may move to another host."""

_CLOCK_SKEW = timedelta(hours=1)
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
    """A CA that can sign."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """Return what clients and the server trust."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """Return the CA's private key."""
        return _key_pem(self.key)

    def issue_server(self, hosts: Sequence[str], days: int) -> Issued:
        """Sign a server certificate for DNS names and IP addresses, and for `SERVER_NAME`."""
        names: list[x509.GeneralName] = [_host_name(host) for host in dict.fromkeys((SERVER_NAME, *hosts))]
        return self._issue(SERVER_NAME, names, ExtendedKeyUsageOID.SERVER_AUTH, days)

    def issue_client(self, identity: Identity, days: int) -> Issued:
        """Sign a client certificate whose SAN URI is the identity."""
        names = [x509.UniformResourceIdentifier(identity_uri(identity))]
        return self._issue(identity.name, names, ExtendedKeyUsageOID.CLIENT_AUTH, days)

    def _issue(
        self,
        common_name: str,
        names: Sequence[x509.GeneralName],
        use: x509.ObjectIdentifier,
        days: int,
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(common_name, self.certificate.subject, days)
            .public_key(key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        return Issued(certificate, pem, _key_pem(key))


def identity_uri(identity: Identity) -> str:
    """Return the SAN URI of an identity."""
    return f"transplant://{identity.role.value}/{identity.name}"


def new_authority() -> Authority:
    """Make a CA, valid for ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "transplant CA")])
    certificate = (
        _builder("transplant CA", name, _CA_DAYS)
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
    return Authority(certificate, key)


def _builder(common_name: str, issuer: x509.Name, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
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


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
