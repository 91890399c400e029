"""Provisioning: the CA and server certificate of a center, and kits for everybody who calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from central.identity.authority import Authority, identity_uri, new_authority
from central.identity.files import IdentityFolder, write_kit
from central.registry.audit_book import CONSOLE, LONGEST_LIST, Action, actor_of
from central.registry.values import Certificate
from transplant.errors import CertificateInvalid, InvalidSettings
from transplant.types import Identity, Role, checked_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from central.identity.authority import Issued
    from central.registry.registry import Books, Registry
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
    check_address(center)
    with registry.write() as books:
        if identity.role is Role.SITE:
            admit_site(books, clock, identity.name, categories)
        issued = issue_certificate(books, authority, identity, days, Action.CERTIFICATE_ISSUED)
    write_kit(out, identity, center, authority.certificate_pem, issued)


def admit_site(books: Books, clock: Clock, name: str, categories: Sequence[str]) -> None:
    """Let a site in with categories, or give more to a known one; the audit log names each of them."""
    books.sites.admit(name, categories, clock.now())
    _tell_categories(books, Action.SITE_ADMITTED, name, sorted(set(categories)))


def _tell_categories(books: Books, action: Action, name: str, categories: Sequence[str]) -> None:
    """Write as many entries as it takes: the log cuts long lists, and fsck compares every name."""
    portion = LONGEST_LIST // 2
    for start in range(0, len(categories), portion):
        books.audit.append(CONSOLE, action, name, categories=list(categories[start : start + portion]))


def issue_certificate(
    books: Books, authority: Authority, identity: Identity, days: float, action: Action
) -> Issued:
    """Issue a certificate at the console and register it; `action` is what the audit log calls that."""
    issued = authority.issue_client(identity, days)
    certificate = Certificate(
        issued.serial, identity.role, identity.name, issued.certificate.not_valid_after_utc, revoked=False
    )
    books.sites.add_certificate(certificate)
    told = {"serial": certificate.serial, "expires_at": certificate.expires_at.isoformat()}
    books.audit.append(CONSOLE, action, actor_of(identity), **told)
    return issued


def withdraw_site(registry: Registry, name: str, categories: Sequence[str]) -> tuple[str, ...]:
    """Take categories from a site, or all of them where none is named; return those that are left.

    Open streams of the site end within seconds; without any category left it is let in nowhere.

    Raises:
        InvalidSettings: if there is no such site, or it has none of the categories.
    """
    with registry.write() as books:
        had = books.sites.categories(name)
        taken = sorted(had & set(categories or had))
        if not taken or set(categories) - had:
            may = ", ".join(sorted(had)) or "nothing"
            raise InvalidSettings(f"site {name} may bring {may}: there is nothing else to withdraw")
        books.sites.withdraw(name, taken)
        _tell_categories(books, Action.SITE_WITHDRAWN, name, taken)
        return tuple(sorted(had - set(taken)))


def revoke_certificates(
    registry: Registry, clock: Clock, role: Role | None, name: str | None, serial: str | None
) -> int:
    """Revoke every certificate of an identity, or the one with a serial; return how many that were.

    It holds for the next call, and open streams end within seconds.

    Raises:
        InvalidSettings: if neither is given, or no certificate of this center has the serial.
    """
    by_name = role is not None and name is not None and serial is None
    if not by_name and (serial is None or role is not None or name is not None):
        raise InvalidSettings("give ROLE and NAME, to revoke all certificates of an identity, or --serial")
    with registry.write() as books:
        if serial is not None:
            serial = serial.lower().removeprefix("0x").replace(":", "").lstrip("0")
            certificate = books.sites.certificate(serial)
            if certificate is None:
                raise InvalidSettings(f"--serial {serial}: this center has issued no such certificate")
            revoked = int(books.sites.revoke_serial(serial, clock.now()))
            whose = Identity(certificate.role, certificate.name)
        elif role is not None and name is not None:
            revoked = books.sites.revoke(role, name, clock.now())
            whose = Identity(role, name)
        else:
            return 0
        told = {"certificates": revoked} | ({"serial": serial} if serial else {})
        books.audit.append(CONSOLE, Action.CERTIFICATES_REVOKED, actor_of(whose), **told)
    return revoked


def check_address(center: str) -> None:
    """Check that an address is HOST:PORT.

    Raises:
        InvalidSettings: if not.
    """
    host, _, port = center.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidSettings(f"--center {center!r} is not HOST:PORT")
