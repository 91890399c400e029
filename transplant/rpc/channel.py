"""Mutually authenticated channels, and the kit of files that an identity consists of."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from transplant.errors import CertificateInvalid
from transplant.types import Role

if TYPE_CHECKING:
    from pathlib import Path

MESSAGE_BYTES = 4 << 20
_KEEPALIVE_MS = 20_000

_COMMON_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", 10_000),
)
SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    *_COMMON_OPTIONS,
    # Clients of this project ping this often; without these two the server would hang up on them.
    ("grpc.http2.min_ping_interval_without_data_ms", _KEEPALIVE_MS // 2),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.so_reuseport", 0),  # a second server on the port is an error, not half of the calls
)
_CLIENT_OPTIONS: tuple[tuple[str, int], ...] = (
    *_COMMON_OPTIONS,
    ("grpc.enable_retries", 0),  # there is one retry policy, `transplant.rpc.retry`
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 3_000),  # a center that comes back is found within seconds
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True)
class Kit:
    """What `transplant-central provision` hands to a site, an operator or a reader."""

    role: Role
    name: str
    center: str
    server_name: str
    ca: bytes
    cert: bytes
    key: bytes = field(repr=False)


class _KitDocument(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role
    name: Annotated[str, Field(min_length=1)]
    center: Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^:/\s]+):[0-9]{1,5}$")]
    server_name: str = ""


def load_kit(directory: Path) -> Kit:
    """Read `ca.pem`, `cert.pem`, `key.pem` and `kit.json` and check that they can work together.

    Raises:
        CertificateInvalid: if a file is missing or unreadable, a certificate is expired or not yet
            valid, was not issued by this CA, or the key belongs to another certificate.
    """
    document = _read(directory / "kit.json")
    ca, cert, key = (_read(directory / name) for name in ("ca.pem", "cert.pem", "key.pem"))
    try:
        fields = _KitDocument.model_validate_json(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise CertificateInvalid(f"{directory / 'kit.json'}: {path}: {first['msg']}") from error
    check_certificate(ca, cert, key, directory)
    return Kit(
        role=fields.role,
        name=fields.name,
        center=fields.center,
        server_name=fields.server_name,
        ca=ca,
        cert=cert,
        key=key,
    )


def write_kit(directory: Path, kit: Kit) -> None:
    """Write the four files of a kit; the key can be read by its owner only."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "ca.pem").write_bytes(kit.ca)
    (directory / "cert.pem").write_bytes(kit.cert)
    key = directory / "key.pem"
    key.touch(mode=0o600)
    key.chmod(0o600)
    key.write_bytes(kit.key)
    document = {
        "role": kit.role.value,
        "name": kit.name,
        "center": kit.center,
        "server_name": kit.server_name,
    }
    (directory / "kit.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def check_certificate(ca: bytes, cert: bytes, key: bytes, where: Path) -> None:
    """Check a certificate against its CA, its key and the calendar.

    Raises:
        CertificateInvalid: see `load_kit`.
    """
    try:
        authority, own = x509.load_pem_x509_certificate(ca), x509.load_pem_x509_certificate(cert)
        private_key = load_pem_private_key(key, password=None)
        own.verify_directly_issued_by(authority)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateInvalid(f"the certificates and key in {where} do not fit: {error}") from error
    except InvalidSignature as error:
        raise CertificateInvalid(f"cert.pem in {where} was not issued by the CA in ca.pem") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if own.public_key().public_bytes(*form) != private_key.public_key().public_bytes(*form):
        raise CertificateInvalid(f"key.pem in {where} is not the key of cert.pem")
    now = datetime.now(UTC)
    for name, certificate in (("ca.pem", authority), ("cert.pem", own)):
        if now > certificate.not_valid_after_utc:
            raise CertificateInvalid(
                f"{name} in {where} expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
            )
        if now < certificate.not_valid_before_utc:
            raise CertificateInvalid(
                f"{name} in {where} is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC on; "
                "is this machine's clock right?"
            )


def open_channel(kit: Kit, address: str | None = None) -> grpc.Channel:
    """Open an mTLS channel to the kit's center, or to `address` instead.

    Nothing is sent before the first call. The center's certificate must be of the kit's CA and bear
    `server_name` (or, where that is empty, the host of the address).
    """
    target = address or kit.center
    options: list[tuple[str, int | str]] = list(_CLIENT_OPTIONS)
    if kit.server_name:
        options.append(("grpc.ssl_target_name_override", kit.server_name))
    host = target.rsplit(":", 1)[0].strip("[]")
    if host in ("localhost", "::1") or host.startswith("127."):
        options.append(("grpc.enable_http_proxy", 0))  # a company's proxy cannot reach our loopback
    credentials = grpc.ssl_channel_credentials(kit.ca, kit.key, kit.cert)
    return grpc.secure_channel(target, credentials, options)


def server_credentials(ca: bytes, cert: bytes, key: bytes) -> grpc.ServerCredentials:
    """Return credentials of a server that takes only clients with a certificate of `ca`."""
    return grpc.ssl_server_credentials([(key, cert)], root_certificates=ca, require_client_auth=True)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateInvalid(f"cannot read {path}: {error.strerror}") from error
