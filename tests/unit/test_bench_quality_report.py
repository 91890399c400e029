"""The report of the quality benches on hand-made records: every figure here was computed by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from fakes.tiny_data import write_folder
from safetensors.torch import save_file
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.drawing import looks
from benchmarks.quality.cells import Cell
from benchmarks.quality.folder import note_run
from benchmarks.quality.paper import paper_table, paper_tables
from benchmarks.quality.pictures import first_two_components, sample_curves
from benchmarks.quality.proxy import proxy_images
from benchmarks.quality.report_page import write_page
from benchmarks.quality.summary import rows_of, summarise, tables_of
from benchmarks.quality.tables import Extras, quality_table, speed_sentence
from benchmarks.records import RecordBook
from transplant.errors import DatasetNotFound
from transplant.types import Task

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.records import Record

CELL = Cell(
    bench="exp2", data="cifar10", arch="vgg_small", method="transplant", disclosure="none", samples=10,
    seed=0, category="cat", host="dog", task=Task.CLASSIFICATION, layers=3, kernel=3,
)  # fmt: skip


def _error(value: float, **changes: object) -> Record:
    cell = replace(CELL, **changes)  # pyright: ignore[reportArgumentType]
    return cell.record(
        "error", value, teacher=10.0 + cell.seed, floor=50.0, seconds=2.0, cpu_seconds=4.0,
        peak_rss_bytes=3 << 20, image_count=100, commit="abc",
    )  # fmt: skip


RECORDS = [
    _error(10.0),
    _error(20.0, seed=1),
    _error(30.0, category="horse"),
    _error(40.0, category="horse", seed=1),
    _error(25.0, method="direct-learn"),
    _error(12.0, samples=0),
    _error(11.0, samples=0, seed=1),
    _error(13.0, samples=0, category="horse"),
    _error(16.0, samples=0, category="horse", seed=1),
    CELL.record("gap_closed", 90.0),
    replace(CELL, category="horse").record("gap_closed", 80.0),
    CELL.record("agreement", 75.0),
    CELL.record("bytes_up", 2048.0, "bytes"),
]


def test_the_wilson_interval_is_pooled_over_seeds():
    # 30 wrong of 200: Wilson's 95 % interval is 10.7 to 20.6 (Newcombe 1998, method 3).
    summary = summarise(RECORDS[:2])
    assert summary.mean == pytest.approx(15.0)
    assert (summary.low, summary.high) == (pytest.approx(10.71, abs=0.01), pytest.approx(20.61, abs=0.01))


def test_newcombes_own_example_of_the_wilson_interval():
    # Newcombe 1998, table I, method 3: 81 of 263 gives 0.2553 to 0.3662.
    summary = summarise([replace(RECORDS[0], value=8100 / 263, image_count=263)])
    assert (summary.low, summary.high) == (pytest.approx(25.53, abs=0.01), pytest.approx(36.62, abs=0.01))


def test_segmentation_has_its_extremes_instead():
    records = [replace(RECORDS[0], metric="iou", value=value) for value in (60.0, 62.0, 61.0)]
    assert (summarise(records).mean, summarise(records).low, summarise(records).high) == (61.0, 60.0, 62.0)


def test_a_table_has_the_papers_layout():
    ((key, mine),) = tables_of(RECORDS).items()
    lines = quality_table(key, mine, Extras(RECORDS)).splitlines()
    assert lines[0].startswith("| samples | method | cat | horse | average | gap closed | agreement |")
    assert list(rows_of(mine)) == [(10, "transplant"), (10, "direct-learn"), (0, "transplant")]
    row = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert row[:2] == ["10", "transplant"]
    assert row[2].startswith("15.00 [10.71, 20.61]")
    assert row[3].startswith("35.00 [")
    assert row[4].startswith("**25.00 [")
    assert row[5:8] == ["85 %", "75 %", "-"]
    assert row[8:] == ["2.0", "4.0", "3", "2.0 KiB"]
    direct = [cell.strip() for cell in lines[3].strip("|").split("|")]
    assert direct[3:5] == ["-", "-"], "an average over fewer categories than the table has"
    assert direct[7] == "39.31", "the paper's average for direct-learn at 10 samples"
    teacher, floor = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines[-2:])
    assert teacher[1:5] == ["*teacher*", "10.50", "10.50", "10.50"]
    assert floor[1:5] == ["*floor*", "50.00", "50.00", "50.00"]


def test_curves_are_min_mean_max_over_seeds_of_complete_averages():
    curves = sample_curves([record for record in RECORDS if record.metric == "error"])
    assert curves["transplant"] == {10: (20.0, 25.0, 30.0), 0: (12.5, 13.0, 13.5)}
    assert "direct-learn" not in curves, "horse is missing there"


def test_disclosures_are_rows_of_their_own():
    records = [_error(10.0), _error(9.0, disclosure="moments"), _error(8.0, ship="outputs")]
    labels = [label for _, label in rows_of(records)]
    assert labels == ["transplant", "transplant (moments)", "transplant (ship outputs)"]


def test_the_closed_form_is_timed_beside_the_papers_learner():
    records = [
        replace(_error(1.0, samples=0, method="closed-form"), cpu_seconds=0.5),
        replace(_error(1.0, samples=0, method="back-distill"), cpu_seconds=20.0),
    ]
    assert "40.0 times" in (speed_sentence(records) or "")
    assert speed_sentence(records[:1]) is None


def test_the_papers_rows_agree_with_the_papers_averages():
    for table in paper_tables():
        assert len(table.teachers) == len(table.categories)
        for row in table.rows:
            assert len(row.values) == len(table.categories)
            # the paper's own rounding: up to 0.01 off
            assert sum(row.values) / len(row.values) == pytest.approx(row.average, abs=0.011), (
                table.name,
                row,
            )


def test_the_paper_is_found_by_layers_where_it_tells_them_apart():
    three = paper_table("exp1", "classification", "error", 3)
    assert three is not None
    assert three.average(0, "back-distill") == 49.90
    assert paper_table("exp1", "classification", "error", 2) is None
    assert paper_table("exp3", "segmentation", "pixel_accuracy", 1) is not None
    assert paper_table("exp3", "segmentation", "iou", 1) is None
    assert three.average(0, "distill") is None


def test_a_page_is_written_with_its_pictures(tmp_path: Path):
    book = RecordBook(tmp_path)
    for record in RECORDS:
        book.add(record)
    note_run(
        tmp_path, command="transplant-bench quality exp2", machine="a machine", bench="exp2", data="cifar10",
        seeds=[0, 1], cells=9, workers=2, threads=1, seconds=12.3,
    )  # fmt: skip
    (tmp_path / "inner").mkdir()
    for seed, method in enumerate(("transplant", "direct-learn")):
        cell = replace(CELL, method=method)
        hidden = torch.randn(20, 8, generator=torch.Generator().manual_seed(seed))
        save_file(
            {"hidden_ND": hidden.to(torch.float16), "spectrum_C": torch.tensor([0.6, 0.3, 0.1])},
            tmp_path / "inner" / f"{cell.digest}.safetensors",
            {"cell": json.dumps(cell.to_dict())},
        )
    text = write_page(tmp_path, RECORDS).read_text()
    assert "The paper's own numbers on its own data" in text
    assert "Means over 2 seeds (0, 1)." in text
    assert "9 cells, seeds 0, 1" in text
    links = [line.split("](")[1].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert {link.split("/")[1].split("-")[0] for link in links} == {"samples", "figure5", "spectrum"}
    assert all((tmp_path / link).stat().st_size > 1000 for link in links)


def test_the_command_prints_the_records_and_writes_the_page_for_quality_only(tmp_path: Path):
    quality, journey = tmp_path / "quality", tmp_path / "journey"
    RecordBook(quality).add(RECORDS[0])
    RecordBook(journey).add(replace(RECORDS[0], bench="journey"))
    for folder in (quality, journey):
        outcome = CliRunner().invoke(app, ["report", str(folder)])
        assert outcome.exit_code == 0
        assert "10.00" in outcome.stdout
    assert (quality / "report.md").is_file()
    assert not (journey / "report.md").exists(), "a journey wrote its own report"


def test_two_clouds_are_projected_onto_their_common_components():
    # All variance lies on the first axis (between the clouds), then on the second.
    ours = torch.tensor([[10.0, 1.0, 0.0], [10.0, -1.0, 0.0]])
    baseline = torch.tensor([[-10.0, 1.0, 0.0], [-10.0, -1.0, 0.0]])
    blue, red = first_two_components(ours, baseline)
    assert torch.allclose(blue.abs(), torch.tensor([[10.0, 1.0], [10.0, 1.0]], dtype=torch.float64))
    assert bool((blue[:, 0] * red[:, 0] < 0).all())


def test_a_folder_of_pictures_is_a_proxy(tmp_path: Path):
    write_folder(tmp_path / "site", count=4)
    (tmp_path / "empty").mkdir()
    images = proxy_images(tmp_path / "site" / "images", 48, 3)
    assert images.shape == (3, 3, 48, 48)
    assert images.dtype == torch.uint8
    with pytest.raises(DatasetNotFound, match="--proxy"):
        proxy_images(tmp_path / "nowhere", 48)
    with pytest.raises(DatasetNotFound, match="holds no"):
        proxy_images(tmp_path / "empty", 48)


@pytest.mark.data
def test_the_tiny_imagenet_pack_is_the_default_proxy(data_root: Path):
    images = proxy_images(data_root / "tinyimagenet32", 32, 250)
    assert images.shape == (250, 3, 32, 32)
    assert 60 < float(images.to(torch.float32).mean()) < 160


def test_no_two_series_of_a_picture_look_the_same():
    assert len(set(looks(40))) == 40
