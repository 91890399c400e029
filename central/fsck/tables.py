"""The registry's rows in memory, as one transaction saw them, keyed for the checks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from central.fsck.finding import Finding
from central.registry.inspection import rows_of
from transplant.errors import RegistryDamaged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from central.registry.registry import Books

Rows = list[dict[str, Any]]

_READ = (
    "sites",
    "site_categories",
    "certificates",
    "category_holders",
    "blobs",
    "modules",
    "uploads",
    "admissions",
    "teachers",
    "teacher_tasks",
    "teacher_answers",
    "teacher_statistics",
    "merges",
    "merge_transitions",
    "versions",
    "routes",
    "route_changes",
    "forgetting_checks",
    "probe_digests",
    "probe_requests",
    "verdicts",
)


@dataclass(frozen=True)
class Tables:
    """Rows by table. Of a table that cannot be read nothing is here.

    Attributes:
        rows: table -> rows in the order of their keys.
        told: how often watchers were told, by kind of event and its subject.
        unreadable: what could not be read.
    """

    rows: Mapping[str, Rows]
    told: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    unreadable: tuple[Finding, ...] = ()

    def __getitem__(self, table: str) -> Rows:
        return self.rows[table]

    def by(self, table: str, column: str) -> dict[Any, dict[str, Any]]:
        """Return the rows of a table by the values of a column."""
        return {row[column]: row for row in self.rows[table]}

    def blobs_in_use(self) -> set[str]:
        """Return every digest that a module or an upload under way may need."""
        return {row["sha256"] for row in self["blobs"]} | {row["payload_sha256"] for row in self["uploads"]}


def read_tables(books: Books) -> Tables:
    """Read what the checks look at."""
    rows: dict[str, Rows] = {}
    unreadable: list[Finding] = []
    for table in _READ:
        try:
            rows[table] = list(rows_of(books, table))
        except RegistryDamaged as error:
            rows[table] = []
            unreadable.append(Finding("table-unreadable", table, str(error)))
    told = Counter((row["kind"], row["subject"]) for row in rows_of(books, "events", "kind", "subject"))
    return Tables(rows, told, tuple(unreadable))
