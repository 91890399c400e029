"""Provisioning: the CA and server certificate of a center, and kits for everybody who calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.identity.authority import Authority, identity_uri, new_authority
from central.identity.files import IdentityFolder, write_kit
from central.registry.values import Certificate
from transplant.errors import CertificateInvalid, InvalidSettings
from transplant.types import Identity, Role, checked_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from central.registry.registry import Registry
    from transplant.ports.clock import Clock

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


def provision_authority(folder: IdentityFolder, hosts: Sequence[str], days: int) -> bool:
    """Make the CA, unless there is one, and a fresh server certificate for `hosts`.

    Returns:
        Whether a new CA was made. An existing CA is kept: every kit out there trusts it.
    """
    fresh = not folder.ca.exists()
    if fresh and folder.server.exists():
        raise CertificateInvalid(f"{folder.root} has a server certificate but no ca.pem: put it back")
    authority = new_authority() if fresh else folder.authority()
    if fresh:
        folder.write_authority(authority)
    folder.write_server(authority.issue_server((*LOCAL_HOSTS, *hosts), days))
    return fresh


def provision_kit(
    registry: Registry,
    clock: Clock,
    authority: Authority,
    identity: Identity,
    *,
    categories: Sequence[str],
    center: str,
    days: int,
    out: Path,
) -> None:
    """Issue a certificate, register it, and write the kit. A site may bring `categories`.

    The registration comes first: a certificate that the registry does not know is refused.

    Raises:
        InvalidName: if the name or a category breaks the naming rule.
        InvalidSettings: if a site has no category, or `center` is not host:port.
    """
    checked_name(identity.role.value, identity.name)
    for category in categories:
        checked_name("category", category)
    if identity.role is Role.SITE and identity.name == "central":
        raise InvalidSettings("a site cannot be called central: that name stands for the center itself")
    if identity.role is Role.SITE and not categories:
        raise InvalidSettings(f"{identity_uri(identity)} needs at least one --category")
    host, _, port = center.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidSettings(f"--center {center!r} is not HOST:PORT")
    issued = authority.issue_client(identity, days)
    certificate = Certificate(
        issued.serial, identity.role, identity.name, issued.certificate.not_valid_after_utc, revoked=False
    )
    with registry.write() as books:
        if identity.role is Role.SITE:
            books.sites.admit(identity.name, categories, clock.now())
        books.sites.add_certificate(certificate)
    write_kit(out, identity, center, authority.certificate_pem, issued)
