"""Measured cells as JSON lines: one object a cell, appended once, never measured twice."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_NAME = "records.jsonl"
QUALITY_BENCHES = ("exp1", "exp2", "exp3", "table4", "ablation")
TRANSFER_BENCHES = ("layer-transfer", "l2t")
"""Quality benches of teachers that learn from little data; their tables are others."""
SHIPPING_BENCH = "shipping"
"""What a site sends; the quality page shows it."""
SITES_BENCHES = ("one-category", "dirichlet", "joining", "scale")
"""Scenarios of simulated federations."""


@dataclass(frozen=True)
class Record:
    """One measured cell. Errors and accuracies in percent, sizes in bytes, times in seconds.

    `host` names the g_S of a transplanted route, `ship` what the site shipped where that is not modules,
    `source` what x was synthesised from where `disclosure` does not say it (or the nets that lent their
    knowledge), `retained` how many layers were kept from a source net, `teacher_images` how many images with
    its category a teacher had and `teacher_transfer` how it borrowed, where that is not all and not at all,
    `sites`, `alpha` and `categories` how many sites a federation has, how unlike they are, and how many
    categories its net answers, `rounds` behind which of its rounds something was measured where that is not
    the end, `device` what computed it where that is not the CPU, and `image_count` is how many images `value`
    was measured on.
    """

    bench: str
    metric: str
    value: float
    unit: str
    data: str | None = None
    arch: str | None = None
    method: str | None = None
    disclosure: str | None = None
    samples: int | None = None
    seed: int | None = None
    category: str | None = None
    task: str | None = None
    layers: int | None = None
    kernel: int | None = None
    host: str | None = None
    ship: str | None = None
    source: str | None = None
    synthetic_images: int | None = None
    retained: int | None = None
    teacher_images: int | None = None
    teacher_transfer: str | None = None
    sites: int | None = None
    alpha: float | None = None
    categories: int | None = None
    rounds: int | None = None
    device: str | None = None
    teacher: float | None = None
    floor: float | None = None
    baseline: float | None = None
    ratio: float | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    peak_rss_bytes: int | None = None
    image_count: int | None = None
    commit: str | None = None

    def key(self) -> tuple[object, ...]:
        """Return what names the cell: everything that was chosen, nothing that was measured."""
        return tuple(getattr(self, name) for name in _KEY)

    def to_json(self) -> str:
        """Return one line of `records.jsonl`, without the fields that do not apply."""
        chosen = {field.name: getattr(self, field.name) for field in fields(self)}
        return json.dumps(
            {name: value for name, value in chosen.items() if value is not None}, allow_nan=False
        )


_KEY = (
    "bench", "metric", "unit", "data", "arch", "method", "disclosure", "samples", "seed",
    "category", "task", "layers", "kernel", "host", "ship", "source", "synthetic_images", "retained",
    "teacher_images", "teacher_transfer", "sites", "alpha", "categories", "rounds", "device",
)  # fmt: skip


class RecordBook:
    """The records of one output folder. An interrupted bench goes on behind its last whole line."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME
        directory.mkdir(parents=True, exist_ok=True)
        self._records = {record.key(): record for record in read_records(directory)}

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)

    def has(self, record: Record) -> bool:
        """Tell whether the cell of this key was measured already."""
        return record.key() in self._records

    def add(self, record: Record) -> None:
        """Write the record down durably; the first measurement of a cell stands."""
        if self.has(record):
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(record.to_json() + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._records[record.key()] = record


def read_records(directory: Path) -> list[Record]:
    """Read `records.jsonl`; a last line that a crash cut short is dropped and truncated away.

    Raises:
        InvalidSettings: if a whole line is not a record.
    """
    path = directory / FILE_NAME
    if not path.is_file():
        return []
    content = path.read_bytes()
    whole, cut, _rest = content.rpartition(b"\n")
    if cut and len(whole) + 1 < len(content):
        os.truncate(path, len(whole) + 1)
    elif not cut:
        os.truncate(path, 0)
    return [_parse(path, number, line) for number, line in enumerate(whole.splitlines(), start=1) if line]


def _parse(path: Path, number: int, line: bytes) -> Record:
    try:
        content: dict[str, Any] = json.loads(line)
        return Record(**content)
    except (ValueError, TypeError) as fault:
        raise InvalidSettings(f"{path}, line {number}, is not a record: {fault}") from fault
