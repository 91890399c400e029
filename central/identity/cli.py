"""`transplant-central provision`: who there is, who is let in, and until when."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from central.console import AsJson, Home, RegistryUrl, settings_of, show
from central.home import identity_folder, open_known_registry, open_registry
from central.identity.listing import identity_document, identity_tables
from central.identity.provision import (
    provision_authority,
    provision_kit,
    revoke_certificates,
    withdraw_site,
)
from central.identity.renewal import renew_kit, renew_server
from central.settings import CentralSettings
from transplant.backends.system_clock import SystemClock
from transplant.errors import InvalidSettings
from transplant.rpc.channel import kit_address
from transplant.types import Identity, Role

provision = typer.Typer(
    help="Make the CA, and kits for sites, operators and readers; renew, list, revoke, withdraw.",
    no_args_is_help=True,
)
SERVER = "server"

Days = Annotated[int, typer.Option(min=1, max=3650, help="How long the certificate is valid.")]
Out = Annotated[Path, typer.Option(help="Folder of the new kit; hand it to its owner, keep no copy.")]
CenterAddress = Annotated[
    str, typer.Option("--center", help="HOST:PORT at which the holder reaches the center.")
]
Hosts = Annotated[list[str], typer.Option("--host", help="Name or address of the server; repeatable.")]


@provision.command("ca")
def provision_ca(
    home: Home,
    host: Hosts = [],  # noqa: B006 - typer wants a list and makes its own
    days: Days = 365,
    registry_url: RegistryUrl = None,
) -> None:
    """Make the CA, if there is none, and a new server certificate."""
    open_registry(settings_of(home, registry_url)).close()
    fresh = provision_authority(identity_folder(home), host, days)
    typer.echo(
        f"{'made a CA' if fresh else 'kept the CA'} and issued a server certificate in {home}/identity"
    )


@provision.command("site")
def provision_site(
    name: str,
    home: Home,
    category: Annotated[list[str], typer.Option(help="A category that the site may bring; repeatable.")],
    center: CenterAddress,
    out: Out,
    days: Days = 365,
    registry_url: RegistryUrl = None,
) -> None:
    """Make the kit of a data site."""
    _provision(Identity(Role.SITE, name), settings_of(home, registry_url), category, center, out, days)


@provision.command("operator")
def provision_operator(
    name: str, home: Home, center: CenterAddress, out: Out, days: Days = 365, registry_url: RegistryUrl = None
) -> None:
    """Make the kit of an operator, who may see everything and cancel merges."""
    _provision(Identity(Role.OPERATOR, name), settings_of(home, registry_url), [], center, out, days)


@provision.command("reader")
def provision_reader(
    name: str, home: Home, center: CenterAddress, out: Out, days: Days = 365, registry_url: RegistryUrl = None
) -> None:
    """Make the kit of a reader, who may fetch the published net."""
    _provision(Identity(Role.READER, name), settings_of(home, registry_url), [], center, out, days)


@provision.command("renew")
def provision_renew(
    whose: Annotated[str, typer.Argument(help="server, site, operator or reader.")],
    home: Home,
    name: Annotated[str | None, typer.Argument(help="Of the site, operator or reader.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the new kit; the old kit's folder will do, too.")
    ] = None,
    center: Annotated[
        str | None, typer.Option(help="HOST:PORT of the center; default: as in the kit in --out.")
    ] = None,
    host: Hosts = [],  # noqa: B006
    days: Days = 365,
    registry_url: RegistryUrl = None,
) -> None:
    """Issue a certificate for an identity that has one; the old one stays good until it expires.

    `renew server` keeps the names of the old certificate and adds each --host; a center that serves goes
    on with it from the next connection on. `renew site NAME --out DIR` makes a kit.
    """
    settings = settings_of(home, registry_url)
    folder = identity_folder(settings.home)
    if whose == SERVER:
        if name is not None or out is not None or center is not None:
            raise InvalidSettings("renew server takes --host and --days: its certificate stays in the home")
        registry = open_known_registry(settings)
        names = renew_server(registry, folder, host, days)
        registry.close()
        typer.echo(f"renewed the server certificate for {', '.join(names)}")
        return
    if whose not in set(Role):
        raise InvalidSettings(f"{whose!r} is none of server, {', '.join(Role)}")
    if name is None or out is None or host:
        raise InvalidSettings(f"renew {whose} needs NAME and --out (and no --host)")
    identity = Identity(Role(whose), name)
    authority = folder.authority()
    registry = open_known_registry(settings)
    renew_kit(registry, authority, identity, center=center or kit_address(out), days=days, out=out)
    registry.close()
    typer.echo(f"wrote the renewed kit of {whose} {name} to {out}")


@provision.command("revoke")
def provision_revoke(
    home: Home,
    role: Annotated[Role | None, typer.Argument()] = None,
    name: Annotated[str | None, typer.Argument()] = None,
    serial: Annotated[
        str | None, typer.Option(help="Revoke this one certificate only; see `provision list`.")
    ] = None,
    registry_url: RegistryUrl = None,
) -> None:
    """Revoke every certificate of a site, operator or reader, or one; open streams end within seconds."""
    registry = open_known_registry(settings_of(home, registry_url))
    revoked = revoke_certificates(registry, SystemClock(), role, name, serial)
    registry.close()
    whose = f"of {role.value} {name}" if role is not None else f"with the serial {serial}"
    typer.echo(f"revoked {revoked} certificates {whose}")


@provision.command("withdraw")
def provision_withdraw(
    name: str,
    home: Home,
    category: Annotated[
        list[str], typer.Option(help="Category to withdraw; repeatable. Default: all of them.")
    ] = [],  # noqa: B006
    registry_url: RegistryUrl = None,
) -> None:
    """Take categories from a site; without any left it is let in nowhere. What it brought stays."""
    registry = open_known_registry(settings_of(home, registry_url))
    left = withdraw_site(registry, name, category)
    registry.close()
    typer.echo(f"site {name} may bring {', '.join(left) or 'nothing any more, and is not let in'}")


@provision.command("list")
def provision_list(home: Home, as_json: AsJson = False, registry_url: RegistryUrl = None) -> None:
    """Show the server's certificate, every identity, its categories, and each certificate's state."""
    settings = settings_of(home, registry_url)
    registry = open_known_registry(settings)
    with registry.read() as books:
        document = identity_document(books, identity_folder(settings.home), SystemClock().now())
    registry.close()
    show(document, identity_tables(document), as_json=as_json)


def _provision(
    identity: Identity, settings: CentralSettings, categories: list[str], center: str, out: Path, days: int
) -> None:
    authority = identity_folder(settings.home).authority()
    registry = open_known_registry(settings)
    provision_kit(
        registry,
        SystemClock(),
        authority,
        identity,
        categories=categories,
        center=center,
        days=days,
        out=out,
    )
    registry.close()
    typer.echo(f"wrote the kit of {identity.role.value} {identity.name} to {out}")
