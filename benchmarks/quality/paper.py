"""The paper's own tables, read from `paper_tables.toml`; they stand beside ours, never among them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).with_name("paper_tables.toml")


@dataclass(frozen=True)
class PaperRow:
    """One line of a table: values by category, in percent."""

    samples: int
    method: str
    values: tuple[float, ...]
    average: float


@dataclass(frozen=True)
class PaperTable:
    """One table; `layers` is None where the paper has one adapter only."""

    name: str
    source: str
    bench: str
    task: str
    metric: str
    categories: tuple[str, ...]
    teachers: tuple[float, ...]
    rows: tuple[PaperRow, ...]
    layers: int | None

    def average(self, samples: int, method: str) -> float | None:
        """Return the paper's average of one row, or None where it has no such row."""
        found = [row.average for row in self.rows if (row.samples, row.method) == (samples, method)]
        return found[0] if found else None


def paper_tables() -> list[PaperTable]:
    """Return all tables."""
    content = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return [
        PaperTable(
            name=table["name"],
            source=content["source"],
            bench=table["bench"],
            task=table["task"],
            metric=table["metric"],
            categories=tuple(table["categories"]),
            teachers=tuple(table["teachers"]),
            rows=tuple(
                PaperRow(row["samples"], row["method"], tuple(row["values"]), row["average"])
                for row in table["rows"]
            ),
            layers=table.get("layers"),
        )
        for table in content["tables"]
    ]


def paper_table(bench: str, task: str, metric: str, layers: int | None) -> PaperTable | None:
    """Return the paper's counterpart of one of our tables, if it has one."""
    for table in paper_tables():
        same = (table.bench, table.task, table.metric) == (bench, task, metric)
        if same and table.layers in (None, layers):
            return table
    return None
