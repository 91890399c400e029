"""A site's signature under its verdict, by the key of its certificate: figures that nobody can deny later.

What is signed is the canonical JSON of the verdict with the site's name and a word that keeps it apart from
everything else that such a key signs. ECDSA over SHA-256, as in the certificates themselves.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from transplant.artifact.digest import canonical_json
from transplant.errors import CertificateInvalid, SignatureInvalid

if TYPE_CHECKING:
    from transplant.types import Verdict

_PURPOSE = "transplant verdict v1"
_LONGEST = 256  # bytes; of P-256 a signature has at most 72


def signed_bytes(verdict: Verdict, site: str) -> bytes:
    """Return what a site signs: every figure as the float that arrives, for JSON tells 0 from 0.0.

    Raises:
        SignatureInvalid: if a figure is no finite number, which no canonical document can say.
    """
    document = asdict(verdict)
    for name in ("teacher", "transplanted", "floor"):
        document[name] = {figure: float(value) for figure, value in document[name].items()}
    try:
        return canonical_json({"purpose": _PURPOSE, "site": site, "verdict": document})
    except ValueError as error:
        raise SignatureInvalid("a verdict's figures must be finite numbers to be signed") from error


def sign_verdict(verdict: Verdict, site: str, key_pem: bytes) -> bytes:
    """Return the signature of a verdict.

    Args:
        verdict: what the site measured.
        site: its name, as in its certificate.
        key_pem: the private key of its certificate, PEM.

    Raises:
        CertificateInvalid: if the key is none that signs.
        SignatureInvalid: if the verdict cannot be signed.
    """
    try:
        key = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError) as error:
        raise CertificateInvalid(f"the kit's key cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateInvalid("the kit's key is no elliptic curve key: ask the center's operator for one")
    return key.sign(signed_bytes(verdict, site), ec.ECDSA(SHA256()))


def check_signature(verdict: Verdict, site: str, signature: bytes, certificate_pem: bytes) -> None:
    """Check a verdict's signature against the certificate of the site that says it is its own.

    Whether the certificate is the site's is the caller's to know: a TLS handshake says so.

    Raises:
        SignatureInvalid: if the signature is not of this verdict, this site and this certificate's key.
    """
    key = x509.load_pem_x509_certificate(certificate_pem).public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or len(signature) > _LONGEST:
        raise SignatureInvalid("the verdict's signature is none that this center knows")
    try:
        key.verify(signature, signed_bytes(verdict, site), ec.ECDSA(SHA256()))
    except InvalidSignature as error:
        raise SignatureInvalid(
            f"the verdict on merge {verdict.merge_key[:12]} is not signed by the key of {site}'s certificate"
        ) from error
