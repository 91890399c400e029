"""`labels.csv` of a folder of pictures: every fault found, with its line, before anything is trained."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge.datasets.site_dataset import Split
from transplant.errors import DatasetInvalid, DatasetNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHARES = ((Split.TRAIN, 0.7), (Split.VALIDATION, 0.8), (Split.TEST, 1.0))
_SHOWN_FAULTS = 20


@dataclass(frozen=True)
class LabelRow:
    """One picture: its file name below `images/`, 0 or 1, and its split."""

    file: str
    label: int
    split: Split


def read_label_table(folder: Path) -> list[LabelRow]:
    """Read `folder/labels.csv`.

    Raises:
        DatasetNotFound: if there is no such file.
        DatasetInvalid: with all faults and their line numbers.
    """
    path = folder / "labels.csv"
    if not path.is_file():
        raise DatasetNotFound(f"no {path.absolute()}: a CSV with the columns file,label is expected there")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetInvalid(f"{path} is not a CSV in UTF-8: {error}") from error
    header = [name.strip() for name in lines[0]] if lines else []
    if header not in (["file", "label"], ["file", "label", "split"]):
        raise DatasetInvalid(
            f"{path} line 1: the header must be file,label or file,label,split, not {header}"
        )
    faults: list[str] = []
    rows: dict[str, tuple[int, Split | None]] = {}
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        fault = _fault_of(cells, len(header), folder / "images", rows)
        if fault is not None:
            faults.append(f"line {number}: {fault}")
            continue
        told = Split(cells[2].strip()) if len(header) == 3 and cells[2].strip() else None
        rows[cells[0].strip()] = (int(cells[1]), told)
    faults += [f"no row for images/{name}" for name in _pictures(folder / "images") if name not in rows]
    if faults:
        more = f"\n  and {len(faults) - _SHOWN_FAULTS} more" if len(faults) > _SHOWN_FAULTS else ""
        raise DatasetInvalid(
            f"{path} has {len(faults)} faults:\n  " + "\n  ".join(faults[:_SHOWN_FAULTS]) + more
        )
    if not rows:
        raise DatasetInvalid(f"{path} names no pictures")
    return _with_splits(rows)


def _fault_of(
    cells: Sequence[str], columns: int, images: Path, seen: dict[str, tuple[int, Split | None]]
) -> str | None:
    if len(cells) != columns:
        return f"{len(cells)} columns instead of {columns}"
    name, label = cells[0].strip(), cells[1].strip()
    if Path(name).name != name:
        return f"{name!r} must be a plain file name below images/"
    if name in seen:
        return f"{name} stands here a second time"
    if label not in {"0", "1"}:
        return f"label {label!r} of {name} must be 0 or 1"
    if columns == 3 and cells[2].strip() not in {"", *(split.value for split in Split)}:
        return f"split {cells[2].strip()!r} of {name} must be train, validation or test"
    if not (images / name).is_file():
        return f"{name} is not in images/"
    return None


def _pictures(images: Path) -> list[str]:
    return sorted(path.name for path in images.iterdir() if path.is_file() and not path.name.startswith("."))


def _with_splits(rows: dict[str, tuple[int, Split | None]]) -> list[LabelRow]:
    """Give every untold picture its split: per label, in the order of a digest of the name."""
    result = [LabelRow(name, label, told or Split.TRAIN) for name, (label, told) in rows.items()]
    for label in (0, 1):
        untold = [at for at, row in enumerate(result) if row.label == label and rows[row.file][1] is None]
        untold.sort(key=lambda at: hashlib.sha256(result[at].file.encode()).digest())
        for rank, at in enumerate(untold):
            split = next(split for split, until in _SHARES if rank < round(until * len(untold)))
            result[at] = replace(result[at], split=split)
    return result
