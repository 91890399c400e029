"""Records: a cell is written once, survives a crash, and is recognised by what was chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from benchmarks.records import FILE_NAME, Record, RecordBook, read_records
from transplant.errors import InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path

CELL = Record(bench="journey", metric="error", value=3.5, unit="percent", category="cat", seed=0, teacher=2.0)


def test_what_is_added_is_read_back(tmp_path: Path):
    RecordBook(tmp_path).add(CELL)
    assert read_records(tmp_path) == [CELL]


def test_a_finished_cell_is_not_measured_again(tmp_path: Path):
    book = RecordBook(tmp_path)
    book.add(CELL)
    again = replace(CELL, value=9.0, teacher=1.0, seconds=4.0)
    assert book.has(again)
    book.add(again)
    assert read_records(tmp_path) == [CELL]


@pytest.mark.parametrize("change", [{"seed": 1}, {"category": "dog"}, {"metric": "iou"}, {"samples": 10}])
def test_another_choice_is_another_cell(tmp_path: Path, change: dict[str, object]):
    book = RecordBook(tmp_path)
    book.add(CELL)
    assert not book.has(replace(CELL, **change))


def test_a_line_that_a_crash_cut_short_is_dropped_and_the_next_one_is_whole(tmp_path: Path):
    RecordBook(tmp_path).add(CELL)
    with (tmp_path / FILE_NAME).open("a") as file:
        file.write('{"bench": "journ')
    second = replace(CELL, category="dog")
    RecordBook(tmp_path).add(second)
    assert read_records(tmp_path) == [CELL, second]


def test_a_broken_line_is_named(tmp_path: Path):
    (tmp_path / FILE_NAME).write_text('{"bench": 1}\n')
    with pytest.raises(InvalidSettings, match="line 1"):
        read_records(tmp_path)


def test_fields_that_do_not_apply_are_left_out():
    assert '"layers"' not in CELL.to_json()
