"""Where a center keeps its certificates, and kits: what a site, an operator or a reader is handed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from central.identity.authority import SERVER_NAME, Authority, Issued, load_authority
from transplant.artifact.durable_file import storage_errors, sync_directory
from transplant.errors import CertificateInvalid, InvalidSettings
from transplant.rpc.channel import RENEWED

if TYPE_CHECKING:
    from pathlib import Path

    from transplant.types import Identity


@dataclass(frozen=True)
class IdentityFolder:
    """The folder `<home>/identity`: the CA and the server's certificate."""

    root: Path

    @property
    def ca(self) -> Path:
        """Certificate of the CA."""
        return self.root / "ca.pem"

    @property
    def ca_key(self) -> Path:
        """Private key of the CA; `serve` never reads it, so it may be kept elsewhere."""
        return self.root / "ca.key"

    @property
    def server(self) -> Path:
        """Certificate of the server."""
        return self.root / "server.pem"

    @property
    def server_key(self) -> Path:
        """Private key of the server."""
        return self.root / "server.key"

    def issued(self, serial: str) -> bytes | None:
        """Return a client certificate (PEM) that this CA signed, None where no copy of it was kept."""
        try:
            return (self.root / "issued" / f"{serial}.pem").read_bytes()
        except FileNotFoundError:
            return None  # of an earlier release, or its authority was kept elsewhere

    def authority(self) -> Authority:
        """Return the CA."""
        return load_authority(self.ca, self.ca_key)

    def authority_certificate(self) -> x509.Certificate:
        """Return the CA's certificate, for which no key is needed.

        Raises:
            CertificateInvalid: if it is missing or is none.
        """
        try:
            return x509.load_pem_x509_certificate(self.ca.read_bytes())
        except (OSError, ValueError) as error:
            raise CertificateInvalid(f"{self.ca} cannot be read: {error}") from error

    def write_authority(self, authority: Authority) -> None:
        """Store a new CA, key first: a certificate without its key is never left behind."""
        _private_folder(self.root)
        write_private(self.ca_key, authority.key_pem)
        write_private(self.ca, authority.certificate_pem, mode=0o644)

    def write_server(self, issued: Issued) -> None:
        """Store the server's certificate and key."""
        _private_folder(self.root)
        write_private(self.server_key, issued.key_pem)
        write_private(self.server, issued.certificate_pem, mode=0o644)

    def server_credentials(self) -> tuple[bytes, bytes, bytes]:
        """Return CA certificate, server certificate and server key, all PEM.

        Raises:
            CertificateInvalid: if one of them is missing or unreadable.
        """
        try:
            return self.ca.read_bytes(), self.server.read_bytes(), self.server_key.read_bytes()
        except OSError as error:
            raise CertificateInvalid(
                f"cannot read {error.filename}: {error.strerror}; run `transplant-central provision ca` first"
            ) from error


def write_kit(folder: Path, identity: Identity, center: str, ca_pem: bytes, issued: Issued) -> None:
    """Write ca.pem, cert.pem, key.pem (0600) and kit.json into `folder` (0700).

    Args:
        folder: made if it is not there; an older kit in it is replaced.
        identity: whose kit it is.
        center: host:port of the merge server, as the holder reaches it.
        ca_pem: the CA certificate that the holder will trust.
        issued: the holder's certificate and key.

    Raises:
        InvalidSettings: if the folder cannot be made.
    """
    _private_folder(folder)
    about = {
        "role": identity.role.value,
        "name": identity.name,
        "center": center,
        "server_name": SERVER_NAME,
    }
    (folder / RENEWED).unlink(missing_ok=True)  # it would go before the new ones
    write_private(folder / "key.pem", issued.key_pem)
    write_private(folder / "cert.pem", issued.certificate_pem, mode=0o644)
    write_private(folder / "ca.pem", ca_pem, mode=0o644)
    write_private(folder / "kit.json", (json.dumps(about, indent=2) + "\n").encode(), mode=0o644)


def write_private(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file durably that never, not for a moment, is readable by more than `mode` says."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    with storage_errors(path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)


def _private_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidSettings(f"cannot make the folder {folder}: {error.strerror}") from error
