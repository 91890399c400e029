"""What sites said of candidates and what they were asked: verdicts and probe requests against the audit log.

A verdict's signature is checked, too, and that its certificate is the site's and by this center's CA.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from central.fsck.check_rights import older_than_log
from central.fsck.finding import Finding
from central.identity.peer import peer_of
from central.merge.verdicts import verdict_of
from central.registry.audit_book import as_logged
from transplant.artifact.digest import derive_seed
from transplant.artifact.manifest import parse_manifest
from transplant.errors import NotAuthenticated, SignatureInvalid, TransplantError
from transplant.nets.architecture_table import image_px
from transplant.rpc.verdict_signature import check_signature
from transplant.types import Identity, ModuleKind, Role, Task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from central.fsck.replay_log import Logged, LoggedVerdict
    from central.fsck.tables import Tables


def check_site_verdicts(tables: Tables, logged: Logged, ca: x509.Certificate | None) -> Iterator[Finding]:
    """Check every verdict that a site gave.

    Args:
        tables: the registry.
        logged: what the audit log says.
        ca: the center's; None where it is not at hand, and certificates cannot be traced to it.
    """
    rows, merges = tables.by("verdicts", "merge_key"), tables.by("merges", "merge_key")
    issued = tables.by("certificates", "serial")
    for key in sorted(set(logged.verdicts) & set(merges) - set(rows)):
        yield Finding("verdict-record", f"merge {key}", "its site gave a verdict, and it is not there")
    for key, row in rows.items():
        where, told = f"verdict on merge {key}", logged.verdicts.get(key)
        if told is not None:
            wrong = _differences(row, told)
            if wrong:
                yield Finding("verdict-record", where, "; ".join(wrong))
        elif older_than_log(logged, row["reported_at"]):
            yield Finding("rights-unproved", where, "no entry tells of it")
        else:
            yield Finding("verdict-record", where, "no entry tells of it")
        if key in merges and merges[key]["site"] != row["site"]:
            yield Finding("verdict-record", where, f"{row['site']} does not own this merge")
        if row["signature"] is not None and row["certificate"] is not None:
            yield from _check_signer(where, row, issued, ca)


def _differences(row: dict[str, Any], told: LoggedVerdict) -> list[str]:
    wrong: list[str] = []
    if told.actor != f"{Role.SITE.value} {row['site']}":
        wrong.append(f"it is {row['site']}'s, by the log {told.actor} gave it")
    if as_logged(row["closed"]) != told.closed:
        wrong.append(f"closed is {row['closed']}, by the log {told.closed}")
    now: Any = as_logged(row["figures"])
    if now != told.figures:
        names = sorted(name for name in {*now, *told.figures} if now.get(name) != told.figures.get(name))
        wrong.append(f"other figures than in the log: {', '.join(names[:5])}")
    halves = (row["signature"] is not None, row["certificate"] is not None)
    if told.signed is not None and halves != (told.signed, told.signed):
        wrong.append(f"it was {'signed' if told.signed else 'not signed'}, by the log")
    return wrong


def _check_signer(
    where: str, row: dict[str, Any], issued: dict[str, dict[str, Any]], ca: x509.Certificate | None
) -> Iterator[Finding]:
    pem = row["certificate"]
    try:
        check_signature(verdict_of(row["merge_key"], row["figures"]), row["site"], row["signature"], pem)
        peer = peer_of(pem)
    except (SignatureInvalid, NotAuthenticated, ValueError) as error:
        yield Finding("verdict-signature", where, str(error))
        return
    if peer.identity != Identity(Role.SITE, row["site"]):
        told = f"the certificate is of {peer.identity.role.value} {peer.identity.name}, not of {row['site']}"
        yield Finding("verdict-signature", where, told)
    elif peer.serial not in issued:
        yield Finding("verdict-signature", where, f"certificate {peer.serial} was never issued")
    elif ca is not None:
        try:
            x509.load_pem_x509_certificate(pem).verify_directly_issued_by(ca)
        except (ValueError, TypeError, InvalidSignature):
            yield Finding("verdict-signer", where, f"certificate {peer.serial}")


def check_requests(tables: Tables, logged: Logged) -> Iterator[Finding]:
    """Check what sites are asked about the category modules whose task modules they keep."""
    modules = tables.by("modules", "module_id")
    rows = {(row["category_module"], row["task"]): row for row in tables["probe_requests"]}
    for module_id, task in sorted(set(logged.asked) - set(rows)):
        yield Finding("probe-request", f"module {module_id}", f"what was asked about {task} is not there")
    for (module_id, task), row in rows.items():
        module = modules.get(module_id)
        if module is None:
            continue  # a missing reference is told by itself
        where, told = f"module {module_id}", logged.asked.get((module_id, task))
        if told is not None and as_logged(row["request"]) != told:
            yield Finding("probe-request", where, f"about {task} something else was asked")
        elif not _may_be_asked(module, task, row["request"]):
            yield Finding(
                "probe-request", where, f"the question about {task} cannot be one about this module"
            )


def _may_be_asked(module: dict[str, Any], task: str, request: dict[str, Any]) -> bool:
    """Tell whether a question may be this center's: those of earlier releases have no entry in the log."""
    try:
        side = image_px(parse_manifest(module["manifest"]).architecture.to_type())
        return (
            module["kind"] == ModuleKind.CATEGORY.value
            and task in {each.value for each in Task}
            and request["task"] == task
            and request["seed"] == derive_seed("probe", module["module_id"]) % 2**31
            and request["image_px"] == side
            and 1 <= request["grid"] <= (side if task == Task.SEGMENTATION.value else 1)
            and 1 <= request["count"] <= request["pool"]
            and 0 <= request["drawings_percent"] <= 100
        )
    except (KeyError, TypeError, TransplantError):
        return False
