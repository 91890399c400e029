"""The picture and the heading of ablations, on hand-made records."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.quality.ablation_picture import one_factor_at_a_time
from benchmarks.quality.cells import Cell
from benchmarks.quality.report_page import write_page
from benchmarks.quality.summary import tables_of
from benchmarks.records import RecordBook
from transplant.types import Task

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.records import Record

CELL = Cell(
    bench="ablation", data="cifar10", arch="vgg_small", method="function", disclosure="none", samples=0,
    seed=0, category="cat", host="dog", task=Task.CLASSIFICATION, layers=3, kernel=3, synthetic_images=3600,
)  # fmt: skip


def _error(value: float, **changes: object) -> Record:
    cell = replace(CELL, **changes)  # pyright: ignore[reportArgumentType]
    return cell.record("error", value, teacher=10.0, floor=50.0, image_count=100)


RECORDS = [
    _error(23.0, synthetic_images=450),  # the shared setting need not come first
    _error(20.0),
    _error(22.0, seed=1),
    _error(24.0, layers=1),
    _error(25.0, host="deer"),
    _error(26.0, host="truck"),
]


def test_the_shared_setting_is_the_one_that_all_others_differ_from_in_one_factor():
    shared, varied = one_factor_at_a_time(RECORDS)
    assert shared == (3, 3, "none", 3600, "dog")
    assert {factor: list(values) for factor, values in varied.items()} == {
        "layers": [3, 1],
        "synthetic_images": [450, 3600],
        "host": ["dog", "deer", "truck"],
    }
    assert [record.value for record in varied["layers"][3]] == [20.0, 22.0]
    assert [record.value for record in varied["host"]["truck"]] == [26.0]


def test_nothing_varied_is_nothing_to_draw():
    assert one_factor_at_a_time(RECORDS[1:3])[1] == {}


def test_the_page_shows_the_factors_and_names_no_host_for_all(tmp_path: Path):
    book = RecordBook(tmp_path)
    for record in RECORDS:
        book.add(record)
    page = write_page(tmp_path, RECORDS).read_text()
    assert "### error (%) of classification on cifar10, vgg_small\n" in page
    assert "(pictures/factors-ablation-cifar10-vgg-small-classification-error.png)" in page
    assert (tmp_path / "pictures" / "factors-ablation-cifar10-vgg-small-classification-error.png").is_file()
    assert "bytes-ablation" not in page


def test_experiments_with_one_host_name_it():
    titles = [
        next(iter(tables_of([replace(RECORDS[1], bench=bench)]))).title()
        for bench in ("exp1", "exp2", "table4")
    ]
    assert [title.partition("cifar10")[2].partition(",")[0] for title in titles] == [
        "", " into dog", " into leave-one-out hosts",
    ]  # fmt: skip
