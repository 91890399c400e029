"""What a check can find: each kind with what it means and what to do, told in one place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_RESTORE = "restore the latest backup into a new home (`transplant-central restore`)"
_BLOB = (
    "put the right file back: from a backup's blobs/, or have the owning site push the module again "
    "after the operator removed the wrong one"
)
_WAITS = (
    "nothing: the center clears it when it starts the next time; while it serves it may be work in progress"
)


class Severity(StrEnum):
    """Whether something was lost or changed, or is only left over."""

    DAMAGE = "damage"
    WARNING = "warning"


@dataclass(frozen=True)
class Explanation:
    """What a kind of finding means and what to do about it."""

    severity: Severity
    meaning: str
    remedy: str


def _damage(meaning: str, remedy: str = _RESTORE) -> Explanation:
    return Explanation(Severity.DAMAGE, meaning, remedy)


def _warning(meaning: str, remedy: str = _WAITS) -> Explanation:
    return Explanation(Severity.WARNING, meaning, remedy)


KINDS: dict[str, Explanation] = {
    # the database and the log
    "database-damaged": _damage("the database file itself is broken"),
    "table-unreadable": _damage(
        "a value of this table is not of its column's type; what else is wrong shows when it is repaired"
    ),
    "reference-missing": _damage("a row names another row that is not there"),
    "audit-chain": _damage(
        "the audit log is not what was written",
        "find out who had access to the database (`audit verify` says which entry); then " + _RESTORE,
    ),
    # rights, and what sites said
    "site-rights": _damage(
        "a site, or what it may bring, is not what the audit log says: somebody changed it past the center",
        "find out who had access to the database; then `provision site` and `provision withdraw` set it "
        "right, or " + _RESTORE,
    ),
    "certificate-rights": _damage(
        "a certificate is not what the audit log says of it: somebody changed it past the center",
        "revoke it (`provision revoke --serial`) if it may call and must not, find out who had access to the "
        "database; then " + _RESTORE,
    ),
    "rights-unproved": _warning(
        "older than the audit log, which came with a later release, so that no entry proves it",
        "nothing where you know it; a site that you `provision` once more, and a certificate that you renew, "
        "are in the log",
    ),
    "category-holder": _damage(
        "a contested category is not whose the operator decided, by the audit log",
        "decide again (`net claim`) once you know who had access to the database, or " + _RESTORE,
    ),
    "verdict-record": _damage("what a site measured of a candidate is not what the audit log says"),
    "verdict-signature": _damage("a verdict does not bear the signature of its site"),
    "verdict-signer": _warning(
        "a verdict is signed with a certificate that is not by the CA in this home",
        "nothing where the CA was made anew since; else find out who had access to the database",
    ),
    "probe-request": _damage("what a site is asked about its module is not what this center asked"),
    # the store
    "store-missing": _damage("the folder of the blob store is not there", "mount or restore it"),
    "blob-missing": _damage("the payload of a registered module is lost", _BLOB),
    "blob-damaged": _damage("the store holds other bytes than the digest says", _BLOB),
    "blob-size": _damage("the registry notes another length than the payload has"),
    "blob-unused": _warning(
        "the registry keeps a payload that no module refers to", "nothing: it costs only room"
    ),
    "blob-orphan": _warning(
        "the store holds a payload that the registry does not know",
        "nothing, or delete it once you are sure that this is the store's only registry; while the center "
        "serves it may be a module on its way in",
    ),
    "store-stray": _warning("a file in the store's folder is no blob", "remove it, if you know what it is"),
    # modules and uploads
    "module-manifest": _damage("the manifest of a module is not the one that its id is the digest of"),
    "module-columns": _damage("a module's row says another thing than its manifest"),
    "module-parent-missing": _damage(
        "a module that this one was made from is not registered",
        "have its owning site push the parent again, or " + _RESTORE,
    ),
    "module-site-missing": _damage("a module belongs to a site that was never provisioned"),
    "module-verdict": _damage("what admission decided last about a module is not what became of it"),
    "module-event": _damage("watchers were not told of this module, or twice"),
    "upload-site-missing": _damage(
        "an upload belongs to a site that was never provisioned",
        "provision the site again, or remove the upload",
    ),
    "upload-columns": _damage(
        "an upload's row says another thing than its manifest", "have the site declare the module again"
    ),
    "upload-registered": _warning("a module is registered, and its upload is still open"),
    "upload-blob-missing": _damage("a payload that a site was told is safe is lost", _BLOB),
    "part-length": _warning(
        "a partial upload has not the length that was noted as durable",
        "nothing: what is missing is asked for again, and what is wrong is refused at the commit",
    ),
    "part-without-upload": _warning("a partial file belongs to no upload"),
    "unfinished-file": _warning("a temporary file was left half-written"),
    # merges
    "teacher-columns": _damage("a complete teacher's row does not fit its modules"),
    "merge-task": _damage("the task of a merge is not the one that its key is the digest of"),
    "merge-columns": _damage("a merge's row says another thing than its task"),
    "merge-module-missing": _damage("a merge needs a module that is not registered"),
    "merge-history": _damage("where a merge stands is not where its recorded steps lead to"),
    "merge-published-twice": _damage("a merge was published more than once"),
    "merge-without-route": _damage("a merge is published, and no version has its route"),
    "bench-without-merge": _warning(
        "a worker's folder belongs to no merge", "remove it, if this is the registry's home"
    ),
    # the net
    "route-module-missing": _damage("a published route leads through a module that is not registered"),
    "route-merge": _damage("a published route is not the one that its merge made"),
    "route-twice": _damage("one category and task is answered by two routes of one version"),
    "version-gap": _damage("a version of the net is missing"),
    "version-digest": _damage("a version does not have the digest that it was published with"),
    "version-parent": _damage("a version does not name the one before it"),
    "version-empty": _damage("a version is no different from the one before it"),
    "version-event": _damage("watchers were not told of this version, or twice"),
    "proof-missing": _damage("a publication's comparison of kept modules and routes is not complete"),
    "proof-unequal": _damage("a publication's record says that something old changed, or names other bytes"),
    "probe-digest-missing": _damage("nothing is recorded of how a route answered when it was published"),
    "probe-digest": _damage("a route does not answer the probe as it did when it was published"),
}


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that does not fit.

    Attributes:
        kind: an entry of `KINDS`.
        where: id, row or file.
        detail: what was seen there.
    """

    kind: str
    where: str
    detail: str = ""

    @property
    def explanation(self) -> Explanation:
        """Return what it means and what to do."""
        return KINDS[self.kind]

    @property
    def is_damage(self) -> bool:
        """Tell whether something was lost or changed."""
        return self.explanation.severity is Severity.DAMAGE

    def document(self) -> dict[str, Any]:
        """Return it as plain values."""
        told = self.explanation
        return {
            "severity": told.severity.value,
            "kind": self.kind,
            "where": self.where,
            "detail": self.detail,
            "meaning": told.meaning,
            "remedy": told.remedy,
        }
