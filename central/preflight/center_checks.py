"""`transplant-central preflight`: everything that `serve` needs, looked at before sites depend on it.

Nothing is changed: no registry is made or migrated, no port is kept, and what is written to see whether it
can be written is taken away again.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509

from central.home import identity_folder, is_serving, store_place
from central.identity.authority import SERVER_NAME
from central.merge.public_images import look_at_public_images
from central.registry.inspection import schema_revision
from central.registry.registry import Registry
from central.registry.schema import revisions
from central.runners.preflight import check_ray
from central.settings import read_settings
from transplant.artifact.durable_file import write_durably
from transplant.errors import CertificateInvalid, InvalidSettings, RegistryDamaged
from transplant.rpc.channel import check_certificate
from transplant.rpc.findings import Findings, check_room
from transplant.rpc.renewal import renewable_from
from transplant.rpc.tls_probe import names_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from central.identity.files import IdentityFolder
    from central.settings import CentralSettings

_ANYWHERE = ("0.0.0.0", "::", "[::]")  # noqa: S104 - compared with, not bound to
_EARLIEST = datetime(2025, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(seconds=60)
_WELL_BYTES = 10 << 30


def preflight(flags: Mapping[str, Any]) -> Findings:
    """Look at everything and return what was found; never raises a `TransplantError`.

    Args:
        flags: settings as `serve` takes them; the rest comes from the environment.
    """
    findings = Findings()
    settings = findings.attempt("settings", lambda: read_settings(flags))
    if settings is None:
        return findings
    serving = is_serving(settings.home)
    _look_at_home(findings, settings)
    _look_at_identity(findings, settings, identity_folder(settings.home))
    with findings.looking_at("port"):
        _look_at_port(findings, settings.listen, serving=serving)
    with findings.looking_at("registry"):
        _look_at_registry(findings, settings)
    with findings.looking_at("store"):
        _look_at_store(findings, settings)
    if settings.proxy is not None:
        with findings.looking_at("proxy"):
            images = look_at_public_images(settings.proxy)
            told = f"{len(images.paths)} public images with the digest {images.digest[:12]}"
            findings.ok("proxy", f"{settings.proxy} holds {told}")
    if settings.runner == "ray":
        with findings.looking_at("ray"):
            findings.ok("ray", check_ray())
    return findings


def _look_at_home(findings: Findings, settings: CentralSettings) -> None:
    home = settings.home
    with findings.looking_at("home"):
        if not home.is_dir():
            raise InvalidSettings(
                f"there is no center in {home}: correct --home, "
                "or make one with `transplant-central provision ca`"
            )
        _write_and_remove(home)
        findings.ok("home", f"{home} can be written, and what is written is on the disk")
        free = shutil.disk_usage(home).free
        least = settings.disk_reserve_bytes + (1 << 30)
        check_room(findings, "disk", home, free, least=least, well=max(2 * least, _WELL_BYTES))


def _look_at_identity(findings: Findings, settings: CentralSettings, folder: IdentityFolder) -> None:
    with findings.looking_at("certificates"):
        ca, cert, key = folder.server_credentials()
        check_certificate(ca, cert, key, folder.root, (folder.server.name, folder.server_key.name))
        for whose, pem in (("the CA", ca), ("the server's certificate", cert)):
            end = x509.load_pem_x509_certificate(pem).not_valid_after_utc
            if datetime.now(UTC) < renewable_from(pem):
                findings.ok("certificates", f"{whose} is good until {end:%Y-%m-%d}")
            elif pem == cert:
                findings.warn(
                    "certificates",
                    f"{whose} expires on {end:%Y-%m-%d}: run `transplant-central provision renew server`",
                )
            else:
                findings.warn(
                    "certificates",
                    f"{whose} expires on {end:%Y-%m-%d}, and every kit with it: plan a new CA and new kits",
                )
        _check_names(findings, settings.listen, x509.load_pem_x509_certificate(cert))
    with findings.looking_at("keys"):
        for path in (folder.server_key, folder.ca_key):
            if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise CertificateInvalid(
                    f"others on this machine can read {path} and pass for this center: run `chmod 600 {path}`"
                )
        if settings.renewal == "automatic":
            folder.authority()
        findings.ok("keys", "only their owner can read them")


def _check_names(findings: Findings, listen: str, certificate: x509.Certificate) -> None:
    names, host = names_of(certificate), listen.rpartition(":")[0].strip("[]")
    if SERVER_NAME not in names:
        raise CertificateInvalid(
            f"the server's certificate does not bear the name {SERVER_NAME}, which every kit asks for: "
            "run `transplant-central provision ca`"
        )
    told = f"the server's certificate is for {', '.join(names)}"
    if host in _ANYWHERE or host in names:
        findings.ok("names", told)
    else:
        findings.warn(
            "names",
            f"{told}, not for {host}: kits of this center work, other clients may refuse it; "
            f"`transplant-central provision renew server --host {host}` adds it",
        )


def _look_at_port(findings: Findings, listen: str, *, serving: bool) -> None:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if serving:
        findings.ok("port", "a center serves this home right now")
        return
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise InvalidSettings(
            f"cannot listen on {listen} ({error.strerror or error}): another program may have the port, "
            "or --listen is no address of this machine"
        ) from error
    findings.ok("port", f"{listen} is free")


def _look_at_registry(findings: Findings, settings: CentralSettings) -> None:
    registry = Registry(settings.url)
    try:
        if not registry.exists():
            raise InvalidSettings(
                f"there is no registry at {registry.where}: `transplant-central provision ca` makes it"
            )
        known = revisions()
        with registry.read() as books:
            found = schema_revision(books)
            newest = books.audit.last(1) if found == known[-1] else ()
    finally:
        registry.close()
    if found not in known:
        raise RegistryDamaged(
            f"the registry has the schema {found}, this release knows {known[-1]}: update this program"
        )
    if found != known[-1]:
        findings.warn(
            "registry",
            f"it has the schema {found}; serve will bring it to {known[-1]}: take a backup first",
        )
    else:
        findings.ok("registry", f"it answers, at this release's schema {found}")
    now = datetime.now(UTC)
    last = max((datetime.fromisoformat(entry.at) for entry in newest), default=_EARLIEST)
    if now < last - _AHEAD:
        raise InvalidSettings(
            f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, but the registry's last entry is of "
            f"{last:%Y-%m-%d %H:%M}: set the clock, with NTP at best"
        )
    findings.ok("clock", "it is not behind what the registry has seen")


def _look_at_store(findings: Findings, settings: CentralSettings) -> None:
    place = store_place(settings)
    if place.folder is not None:
        if settings.home.is_dir() or settings.store_url:  # else it was said already
            folders = (place.folder.absolute(), *place.folder.absolute().parents)
            _write_and_remove(next(folder for folder in folders if folder.exists()))
            findings.ok("store", f"{place.folder} can be written")
        return
    store = place.open()
    probe = store.put_bytes(b"transplant-central preflight " + os.urandom(16))
    try:
        if not store.has(probe):
            raise InvalidSettings(f"the store {place.url} has lost what was just written to it")
    finally:
        store.delete(probe)
    findings.ok("store", f"{place.url} can be written and read")


def _write_and_remove(folder: Path) -> None:
    probe = folder / f".preflight-{os.getpid()}"
    try:
        write_durably(probe, bytes(4096))
        probe.unlink()
    except OSError as error:
        raise InvalidSettings(
            f"{folder} cannot be written ({error.strerror}): give the user who serves the right to it"
        ) from error
