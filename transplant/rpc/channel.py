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

from transplant.artifact.chunks import STREAM_AHEAD_BYTES
from transplant.errors import CertificateInvalid
from transplant.types import Role

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    ServerTls = tuple[bytes, bytes, bytes]

MESSAGE_BYTES = 4 << 20
RENEWED = "renewed.pem"
"""Key and certificate in one file, while a kit is being renewed; see `transplant.rpc.renewal`."""
_KEEPALIVE_MS = 20_000
_PING_TIMEOUT_MS = 10_000

_COMMON_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", _PING_TIMEOUT_MS),  # a minute by default, whatever the line above says
    # By default pings end after two without data, and a silent watch or an idle link would be forgotten by
    # the first router with a table of connections; and a dead peer would go unnoticed.
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
)
_SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    *_COMMON_OPTIONS,
    # Clients of this project ping this often; without this the server would hang up on them.
    ("grpc.http2.min_ping_interval_without_data_ms", _KEEPALIVE_MS // 2),
    # `STREAM_AHEAD_BYTES` or what the operator says; left to itself gRPC guesses, see there.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.so_reuseport", 0),  # a second server on the port is an error, not half of the calls
)


def server_options(ahead_bytes: int = STREAM_AHEAD_BYTES) -> tuple[tuple[str, int], ...]:
    """Return the options of a server that takes so much ahead of what it has read, in each stream."""
    return (*_SERVER_OPTIONS, ("grpc.http2.lookahead_bytes", ahead_bytes))


SERVER_OPTIONS = server_options()
CLIENT_OPTIONS: tuple[tuple[str, int], ...] = (
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

    Where a renewal is half-way, the renewed key and certificate count.

    Raises:
        CertificateInvalid: if a file is missing or unreadable, a certificate is expired or not yet
            valid, was not issued by this CA, or the key belongs to another certificate.
    """
    fields = _kit_document(directory)
    ca, (cert, key) = _read(directory / "ca.pem"), _own_pair(directory)
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


def kit_address(directory: Path) -> str:
    """Return the center's address of a kit, whatever state its certificate is in.

    Raises:
        CertificateInvalid: if there is no kit.json, or it says something else.
    """
    return _kit_document(directory).center


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


def check_certificate(
    ca: bytes, cert: bytes, key: bytes, where: Path, names: tuple[str, str] = ("cert.pem", "key.pem")
) -> None:
    """Check a certificate against its CA, its key and the calendar.

    Args:
        ca: certificate of the CA, PEM.
        cert: the certificate, PEM.
        key: its key, PEM.
        where: folder of the three, for messages.
        names: how the certificate and the key are called there.

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
        raise CertificateInvalid(f"{names[0]} in {where} was not issued by the CA in ca.pem") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if own.public_key().public_bytes(*form) != private_key.public_key().public_bytes(*form):
        raise CertificateInvalid(f"{names[1]} in {where} is not the key of {names[0]}")
    now = datetime.now(UTC)
    for name, certificate in (("ca.pem", authority), (names[0], own)):
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
    options: list[tuple[str, int | str]] = list(CLIENT_OPTIONS)
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


def renewable_server_credentials(
    now: ServerTls, renewed: Callable[[], ServerTls | None]
) -> grpc.ServerCredentials:
    """Return credentials of a server whose certificate may change while it runs.

    Args:
        now: CA certificate, server certificate and key, PEM.
        renewed: called at each handshake; the three to go on with, or None where nothing has changed.
    """

    def configuration(tls: ServerTls) -> grpc.ServerCertificateConfiguration:
        ca, cert, key = tls
        return grpc.ssl_server_certificate_configuration([(key, cert)], root_certificates=ca)

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        found = renewed()
        return None if found is None else configuration(found)

    return grpc.dynamic_ssl_server_credentials(
        configuration(now),
        fetch,  # pyright: ignore[reportArgumentType] - its documentation lets it return None, its stub does not
        require_client_authentication=True,
    )


def _kit_document(directory: Path) -> _KitDocument:
    document = _read(directory / "kit.json")
    try:
        return _KitDocument.model_validate_json(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise CertificateInvalid(f"{directory / 'kit.json'}: {path}: {first['msg']}") from error


def _own_pair(directory: Path) -> tuple[bytes, bytes]:
    """Return certificate and key. A swap that runs meanwhile is seen whole: before, or after it."""
    renewed = directory / RENEWED
    while True:
        pair = _read(directory / "cert.pem"), _read(directory / "key.pem")
        try:
            both = renewed.read_bytes()
        except FileNotFoundError:
            if pair == (_read(directory / "cert.pem"), _read(directory / "key.pem")):
                return pair
            continue  # a whole swap has passed between the two reads
        except OSError as error:
            raise CertificateInvalid(f"cannot read {renewed}: {error.strerror}") from error
        key, mark, cert = both.partition(b"-----BEGIN CERTIFICATE-----")
        return mark + cert, key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateInvalid(f"cannot read {path}: {error.strerror}") from error
