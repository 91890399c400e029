"""Renewing a certificate: when it is time, what is asked for, and how a kit changes under its readers.

The private key never leaves the site: it sends a signing request for a new one (PKCS#10), which names the
identity that it has already.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from transplant.artifact.durable_file import sync_directory, write_durably
from transplant.errors import CertificateInvalid
from transplant.rpc.channel import RENEWED, check_certificate, load_kit

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from transplant.rpc.channel import Kit


def renewable_from(certificate_pem: bytes) -> datetime:
    """Return when the last third of a certificate's life begins: from then on it may be renewed."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - life / 3


def signing_request(kit: Kit) -> tuple[bytes, bytes]:
    """Make a new key; return it and the request to sign it for the kit's identity, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    identity = x509.UniformResourceIdentifier(f"transplant://{kit.role.value}/{kit.name}")
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, kit.name)]))
        .add_extension(x509.SubjectAlternativeName([identity]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem, request.public_bytes(Encoding.PEM)


def renewed_kit(kit: Kit, key: bytes, certificate: bytes, where: Path) -> Kit:
    """Return the kit with a new key and certificate, which must fit each other and the CA that it trusts.

    Raises:
        CertificateInvalid: if they do not; the old kit is still good then.
    """
    check_certificate(kit.ca, certificate, key, where)
    return replace(kit, cert=certificate, key=key)


def swap_kit(directory: Path, kit: Kit) -> None:
    """Put a renewed key and certificate into a kit's folder; a reader or a crash never sees half of it.

    Two files cannot be replaced at once. So both are first written as one (`renewed.pem`, which goes before
    the other two for whoever reads the kit), then each in its place, and then the one is removed.

    Raises:
        CertificateInvalid: if the folder cannot be written.
        StorageFull: if the disk is full.
    """
    try:
        write_durably(directory / RENEWED, kit.key + kit.cert)
        write_durably(directory / "key.pem", kit.key)
        write_durably(directory / "cert.pem", kit.cert)
        (directory / "cert.pem").chmod(0o644)
        (directory / RENEWED).unlink()
        sync_directory(directory)
    except OSError as error:
        raise CertificateInvalid(f"cannot write the kit in {directory}: {error.strerror}") from error


def settle_kit(directory: Path) -> None:
    """Finish a swap that a crash has cut short."""
    if (directory / RENEWED).exists():
        swap_kit(directory, load_kit(directory))
