"""`transplant-edge preflight`: everything that can keep a site from its center, looked at before it matters.

Each check needs those before it; where one fails, the ones that need it are left out, and the others still
run, so that one look shows all there is to do.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509

from edge.datasets.open_data import parse_spec
from transplant.errors import (
    CertificateInvalid,
    DatasetNotFound,
    InvalidSettings,
    NotAllowed,
    UnexpectedFailure,
)
from transplant.rpc.channel import RENEWED, kit_address, load_kit
from transplant.rpc.client import CentralClient
from transplant.rpc.findings import Findings, check_room
from transplant.rpc.messages import PROTOCOL
from transplant.rpc.renewal import renewable_from
from transplant.rpc.retry import RetryPolicy
from transplant.rpc.tls_probe import handshake, reach, resolve, split_address
from transplant.types import Role

if TYPE_CHECKING:
    from pathlib import Path

    from transplant.rpc.channel import Kit
    from transplant.rpc.messages import Described

_KIT_FILES = ("kit.json", "ca.pem", "cert.pem", "key.pem")
_WAIT_S = 5.0
_SKEW_S, _SKEW_FAILS_S = 30.0, 600.0
_LEAST_BYTES, _WELL_BYTES = 256 << 20, 4 << 30


@dataclass(frozen=True)
class Subject:
    """What is looked at: only the kit must be given."""

    kit: Path
    center: str | None = None
    home: Path | None = None
    category: str | None = None
    data: str | None = None
    data_root: Path | None = None


def preflight(subject: Subject) -> Findings:
    """Look at everything and return what was found; never raises a `TransplantError`."""
    findings = Findings()
    kit = _look_at_kit(findings, subject.kit)
    address = findings.attempt("address", lambda: split_address(subject.center or kit_address(subject.kit)))
    if address is not None and _look_at_network(findings, *address) and kit is not None:
        _look_at_center(findings, subject, kit, *address)
    if subject.home is not None:
        _look_at_home(findings, subject.home)
    if subject.data is not None:
        with findings.looking_at("data"):
            _look_at_data(findings, subject.data, subject.data_root)
    return findings


def _look_at_kit(findings: Findings, directory: Path) -> Kit | None:
    with findings.looking_at("kit files"):
        for name in _KIT_FILES:
            try:
                (directory / name).read_bytes()
            except OSError as error:
                raise CertificateInvalid(
                    f"{directory / name} cannot be read ({error.strerror}): "
                    "copy the whole kit that the center's operator handed over, and read it as its owner"
                ) from error
        findings.ok("kit files", f"the four files in {directory} can be read")
    if findings.failed("kit files"):
        return None
    with findings.looking_at("key mode"):
        keys = [directory / name for name in ("key.pem", RENEWED) if (directory / name).exists()]
        modes = {key: stat.S_IMODE(key.stat().st_mode) for key in keys}
        for key, mode in modes.items():
            if mode & 0o077:
                raise CertificateInvalid(
                    f"others on this machine can use {key} (mode {mode:04o}) and act as this site: "
                    f"run `chmod 600 {key}`"
                )
        findings.ok("key mode", "only its owner can read the key")
    kit = None
    with findings.looking_at("certificate"):
        kit = load_kit(directory)
        if kit.role is not Role.SITE:
            raise InvalidSettings(f"this is a kit of the role {kit.role}, and a site's is needed here")
        _note_expiry(findings, "certificate", kit.cert, f"the certificate of site {kit.name}")
    return kit


def _note_expiry(findings: Findings, check: str, certificate_pem: bytes, whose: str) -> None:
    end = x509.load_pem_x509_certificate(certificate_pem).not_valid_after_utc
    until = f"{whose} is good until {end:%Y-%m-%d}"
    if datetime.now(UTC) >= renewable_from(certificate_pem):
        findings.warn(check, f"{until}: have it renewed before then")
    else:
        findings.ok(check, f"{until} and fits its key and CA")


def _look_at_network(findings: Findings, host: str, port: int) -> bool:
    with findings.looking_at("name"):
        findings.ok("name", f"{host} is {', '.join(resolve(host, port))}")
    if findings.failed("name"):
        return False
    with findings.looking_at("connection"):
        reach(host, port, _WAIT_S)
        findings.ok("connection", f"{host} answers at port {port}")
    return not findings.failed("connection")


def _look_at_center(findings: Findings, subject: Subject, kit: Kit, host: str, port: int) -> None:
    with findings.looking_at("center's certificate"):
        found = handshake(kit, subject.kit, host, port, _WAIT_S)
        end = found.not_valid_after_utc
        findings.ok("center's certificate", f"this kit's CA vouches for it until {end:%Y-%m-%d}")
    if findings.failed("center's certificate"):
        return
    answer = findings.attempt("rights", lambda: _describe(kit, subject.center))
    if answer is None:
        return
    described, ahead_s = answer
    with findings.looking_at("rights"):
        _check_rights(findings, described, kit, subject.category)
    with findings.looking_at("clock"):
        _check_clock(findings, ahead_s)
    with findings.looking_at("version"):
        if described.protocol != PROTOCOL:
            older = "site" if described.protocol > PROTOCOL else "center"
            raise InvalidSettings(
                f"the center (release {described.release}) speaks protocol {described.protocol}, this site "
                f"{PROTOCOL}: the {older} has to be updated"
            )
        findings.ok(
            "version", f"both sides speak protocol {PROTOCOL}; the center's release is {described.release}"
        )


def _describe(kit: Kit, center: str | None) -> tuple[Described, float]:
    """Return what the center says, and by how many seconds this clock is ahead of the center's."""
    policy = RetryPolicy(deadline_s=_WAIT_S)
    with CentralClient(kit, center, policy=policy, call_s=_WAIT_S) as client:
        asked = datetime.now(UTC)
        try:
            described = client.describe()
        except UnexpectedFailure as error:
            if "UNIMPLEMENTED" not in str(error):
                raise
            raise InvalidSettings(
                "the center is older than this site's program and does not tell its version: "
                "update the center, or use the site's program of its release"
            ) from error
        middle = asked + (datetime.now(UTC) - asked) / 2
    return described, (middle - described.server_time).total_seconds()


def _check_rights(findings: Findings, described: Described, kit: Kit, category: str | None) -> None:
    if (described.identity.role, described.identity.name) != (kit.role, kit.name):
        raise CertificateInvalid(
            f"kit.json says {kit.role} {kit.name}, the certificate says {described.identity.role} "
            f"{described.identity.name}: the kit's files are of two kits"
        )
    may = ", ".join(described.categories)
    if category is not None and category not in described.categories:
        raise NotAllowed(
            f"this site may bring {may}, not {category}: correct --category, or ask the center's operator"
        )
    findings.ok("rights", f"the center knows this site, which may bring {may}")


def _check_clock(findings: Findings, ahead_s: float) -> None:
    off = (
        f"this machine's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the center's"
    )
    if abs(ahead_s) > _SKEW_FAILS_S:
        raise CertificateInvalid(f"{off}: certificates will be refused; set it, with NTP at best")
    if abs(ahead_s) > _SKEW_S:
        findings.warn("clock", f"{off}: set it, with NTP at best")
    else:
        findings.ok("clock", f"it agrees with the center's within {_SKEW_S:.0f} s")


def _look_at_home(findings: Findings, home: Path) -> None:
    with findings.looking_at("home"):
        there = next(folder for folder in (home.absolute(), *home.absolute().parents) if folder.exists())
        try:
            with tempfile.TemporaryFile(dir=there) as file:
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InvalidSettings(
                f"{there} cannot be written ({error.strerror}): give this user the right to it, "
                "or choose another --home"
            ) from error
        findings.ok("home", f"{there} can be written")
        free = shutil.disk_usage(there).free
        check_room(findings, "disk", there, free, least=_LEAST_BYTES, well=_WELL_BYTES)


def _look_at_data(findings: Findings, data: str, data_root: Path | None) -> None:
    spec = parse_spec(data)
    path = spec.path
    if path is None and spec.origin != "scenes" and data_root is not None:
        path = data_root / spec.origin
    if path is None:
        findings.ok("data", f"{spec.origin} needs no files of yours")
        return
    try:
        entries = sum(1 for _ in path.iterdir())
    except OSError as error:
        raise DatasetNotFound(
            f"{path} cannot be read ({error.strerror}): correct --data, or give this user the right to it"
        ) from error
    if not entries:
        raise DatasetNotFound(f"{path} is empty: correct --data")
    findings.ok("data", f"{path} can be read and has {entries} entries")
