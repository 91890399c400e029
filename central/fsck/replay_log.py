"""What the audit log says of rights, decisions, verdicts and questions: its entries, replayed in their order.

The log is chained, the tables are not: who changes a table without the log is found by comparing them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from central.registry.audit_book import LONGEST_LIST, Action
from transplant.errors import AuditChainBroken

if TYPE_CHECKING:
    from collections.abc import Iterable

    from central.registry.audit_chain import AuditEntry

_SIGNED_SINCE = "0005"
"""The schema that brought the columns of signatures and the table of decisions."""


@dataclass
class LoggedCertificate:
    """A certificate as the log tells of it; `whose` is role and name."""

    whose: str
    expires_at: datetime
    revoked: bool = False


@dataclass(frozen=True)
class LoggedVerdict:
    """What a site reported; `signed` is None where the signature was lost on the way back to a release."""

    actor: str
    closed: Any
    figures: Any
    signed: bool | None


@dataclass
class Logged:
    """What must be in the tables, if nobody changed them but the center.

    Attributes:
        began_at: when the log begins; None where it has no entry.
        categories: what each admitted site may bring.
        unsure_after: by site the category after which nothing is known: an earlier release's entry was cut.
        certificates: by serial.
        revoked: role and name, or serial, of every revocation, be the certificate older than the log.
        holders: the site that an operator decided for, and how often one did, by category.
        verdicts: by merge.
        asked: the questions about a category module, by it and the task.
    """

    began_at: datetime | None = None
    categories: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    unsure_after: dict[str, str] = field(default_factory=dict[str, str])
    certificates: dict[str, LoggedCertificate] = field(default_factory=dict[str, LoggedCertificate])
    revoked: set[str] = field(default_factory=set[str])
    holders: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    verdicts: dict[str, LoggedVerdict] = field(default_factory=dict[str, LoggedVerdict])
    asked: dict[tuple[str, str], dict[str, Any]] = field(
        default_factory=dict[tuple[str, str], dict[str, Any]]
    )


def replay_log(entries: Iterable[AuditEntry]) -> Logged:
    """Replay a log whose chain was verified.

    Raises:
        AuditChainBroken: if an entry does not say what its action has to say: it is not the center's.
    """
    logged = Logged()
    for entry in entries:
        try:
            if logged.began_at is None:
                logged.began_at = datetime.fromisoformat(entry.at)
            step = _STEPS.get(entry.action)
            if step is not None:
                step(logged, entry, json.loads(entry.detail))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AuditChainBroken(
                f"entry {entry.position} is not one that a center writes: {error}"
            ) from error
    return logged


def _admitted(logged: Logged, entry: AuditEntry, detail: dict[str, Any]) -> None:
    logged.categories.setdefault(entry.subject, set()).update(detail["categories"])
    _note_cut(logged, entry.subject, detail["categories"])


def _withdrawn(logged: Logged, entry: AuditEntry, detail: dict[str, Any]) -> None:
    logged.categories.setdefault(entry.subject, set()).difference_update(detail["categories"])
    _note_cut(logged, entry.subject, detail["categories"])


def _note_cut(logged: Logged, site: str, categories: list[str]) -> None:
    """Earlier releases wrote all categories into one entry, and the log keeps the first of a long list."""
    if len(categories) == LONGEST_LIST:
        logged.unsure_after[site] = min(categories[-1], logged.unsure_after.get(site, categories[-1]))


def _issued(logged: Logged, entry: AuditEntry, detail: dict[str, Any]) -> None:
    if entry.subject != "server":  # its certificate is a file, not a row
        expires_at = datetime.fromisoformat(detail["expires_at"])
        logged.certificates[detail["serial"]] = LoggedCertificate(entry.subject, expires_at)


def _revoked(logged: Logged, entry: AuditEntry, detail: dict[str, Any]) -> None:
    serial = detail.get("serial")
    logged.revoked.add(entry.subject if serial is None else serial)
    for known, certificate in logged.certificates.items():
        if known == serial or (serial is None and certificate.whose == entry.subject):
            certificate.revoked = True


def _decided(logged: Logged, entry: AuditEntry, detail: dict[str, Any]) -> None:
    _, times = logged.holders.get(entry.subject, ("", 0))
    logged.holders[entry.subject] = detail["site"], times + 1


def _reported(logged: Logged, entry: AuditEntry, detail: dict[str, Any]) -> None:
    signed = detail.get("signed")
    logged.verdicts[entry.subject] = LoggedVerdict(entry.actor, detail["closed"], detail["figures"], signed)


def _migrated(logged: Logged, entry: AuditEntry, _detail: dict[str, Any]) -> None:
    """On the way back to an earlier release what only later ones know is lost, and nobody's fault."""
    if entry.subject < _SIGNED_SINCE:
        logged.holders.clear()
        logged.verdicts = {key: replace(told, signed=None) for key, told in logged.verdicts.items()}


def _asked(logged: Logged, entry: AuditEntry, detail: dict[str, Any]) -> None:
    logged.asked[entry.subject, detail["request"]["task"]] = detail["request"]


_STEPS = {
    Action.SITE_ADMITTED.value: _admitted,
    Action.SITE_WITHDRAWN.value: _withdrawn,
    Action.CERTIFICATE_ISSUED.value: _issued,
    Action.CERTIFICATE_RENEWED.value: _issued,
    Action.CERTIFICATES_REVOKED.value: _revoked,
    Action.CATEGORY_DECIDED.value: _decided,
    Action.VERDICT_REPORTED.value: _reported,
    Action.PROBE_ASKED.value: _asked,
    Action.REGISTRY_MIGRATED.value: _migrated,
}
